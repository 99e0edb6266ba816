"""Transit sealed, cut off, hanging, slow, or no longer ours: deadlines, reasons, recovery."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.faults import (
    LinkedService,
    StartWorld,
    World,
    check_once_per_subject,
    entries_by_call,
)
from tests.support.openbao import OpenBao, running_openbao
from tests.support.service import new_key, wait_until
from vault.client import Refused, VaultCallError

GRACE_S, PROBE_S = 2.0, 1.2
"""The configuration's defaults; a probe comes up to a fifth late."""
DETECTION_S = 4.0
"""Connecting and waiting for an answer, before a Transit that hangs counts as lost."""
DEADLINE_S = 1.0
KEY_STORE = {"KEY_STORE_SEALED", "KEY_STORE_UNAVAILABLE", "KEY_STORE_DENIED"}

Fault = Callable[[World], None]


@contextlib.contextmanager
def sealed(world: World) -> Iterator[None]:
    openbao = world.instance.openbao

    def is_sealed() -> bool:
        openbao.seal()
        time.sleep(0.3)
        return openbao.is_sealed()

    # A server that was initialised just now unseals itself once more after five seconds.
    wait_until(is_sealed, seconds=15, text="OpenBao does not stay sealed")
    try:
        yield
    finally:
        openbao.unseal()


@contextlib.contextmanager
def refused(world: World) -> Iterator[None]:
    world.transit.refuse()
    try:
        yield
    finally:
        world.transit.mend()


@contextlib.contextmanager
def hanging(world: World) -> Iterator[None]:
    world.transit.stall()
    try:
        yield
    finally:
        world.transit.mend()


@contextlib.contextmanager
def slow(world: World) -> Iterator[None]:
    world.transit.delay_seconds = 5.0
    try:
        yield
    finally:
        world.transit.mend()


def uncached_write(world: World) -> VaultCallError:
    """A write of a new subject, which needs Transit; its error, within its deadline."""
    began = time.monotonic()
    with world.client("order", timeout=DEADLINE_S) as order, pytest.raises(VaultCallError) as error:
        order.tokenize([(new_key(), {"phone": "13800000000"})])
    assert time.monotonic() - began < DEADLINE_S + 0.3
    return error.value


def refused_calls(world: World, tokens: list[str], count: int) -> list[float]:
    """Seconds of calls that policy refuses; these need no key, so no fault of Transit matters."""
    seconds = []
    with world.client("marketing", timeout=5) as marketing:
        for _ in range(count):
            began = time.monotonic()
            (item,) = marketing.detokenize("marketing", tokens).items
            assert isinstance(item, Refused)
            seconds.append(time.monotonic() - began)
    return seconds


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        (sealed, {"KEY_STORE_SEALED"}),
        (refused, {"KEY_STORE_UNAVAILABLE"}),
        (hanging, {"DEADLINE_EXCEEDED", "KEY_STORE_UNAVAILABLE"}),
        (slow, {"DEADLINE_EXCEEDED", "KEY_STORE_UNAVAILABLE"}),
    ],
)
def test_deadline_reason_and_bound_of_cached_keys(
    world: World,
    fault: Callable[[World], contextlib.AbstractContextManager[None]],
    reasons: set[str],
) -> None:
    tokens = list(world.seed(1))
    world.read(tokens)
    with world.service.recording() as entries:
        errors: list[VaultCallError] = []
        with fault(world):
            broken = time.monotonic()
            errors += [uncached_write(world) for _ in range(3)]
            quick = refused_calls(world, tokens, 50)
            cached_until = _last_success(world, tokens, broken)
            errors += [uncached_write(world) for _ in range(3)]
            assert world.service.health() == "NOT_SERVING"
        world.wait_until_works()
        world.wait_for_health("SERVING")
        time.sleep(0.2)  # entries of calls that were cut short are written in the background
    assert {error.reason.name for error in errors} <= reasons | {"DEADLINE_EXCEEDED"}
    # What is known to be down is not asked: the reason comes at once, and names the key store.
    assert {error.reason.name for error in errors[3:]} <= reasons - {"DEADLINE_EXCEEDED"}
    assert cached_until < GRACE_S + 2 * PROBE_S + DETECTION_S
    assert statistics.quantiles(quick, n=100)[98] < 0.25
    found = entries_by_call(entries)
    for error in errors:
        if error.call_id:  # without it the client's own clock ended the call
            check_once_per_subject(found[error.call_id])
            assert {error.reason} == {entry.reason for entry in found[error.call_id]}
    failed = [e for e in entries if e.reason.name in reasons and e.rpc.endswith("Tokenize")]
    assert len(failed) >= len(errors)


def _last_success(world: World, tokens: list[str], broken: float) -> float:
    """Seconds since `broken` at which a cached key last served."""
    last = 0.0
    with world.client("shipping", timeout=DEADLINE_S) as shipping:

        def is_over() -> bool:
            nonlocal last
            reason = ""
            began = time.monotonic()
            try:
                shipping.detokenize("delivery", tokens)
            except VaultCallError as error:
                reason = error.reason.name
            assert time.monotonic() - began < DEADLINE_S + 0.3
            assert reason in KEY_STORE | {"", "DEADLINE_EXCEEDED"}
            if not reason:
                last = time.monotonic() - broken
            return reason in KEY_STORE

        wait_until(is_over, seconds=20, text="cached keys serve on")
    return last


class DevService(LinkedService):
    """A service on an OpenBao in dev mode, whose root token a test has."""

    def config(self, port: int) -> str:
        lines = super().config(port).splitlines(keepends=True)
        at = lines.index("[transit]\n")
        drop = next(i for i in range(at, len(lines)) if lines[i].startswith("ca_file"))
        kept = lines[:drop] + lines[drop + 1 :]
        # That OpenBao has no login for custody.
        return "".join(line for line in kept if not line.startswith("custodian_url_file"))


@contextlib.contextmanager
def dev_world(
    start_world: StartWorld, folder: Path, bao: OpenBao, *, ttl: str = "1h"
) -> Iterator[World]:
    role_id, secret_id = bao.app_role(folder, ttl=ttl)
    for path in (role_id, secret_id):
        path.chmod(0o600)
    changes = {
        "transit_address": bao.address,
        "transit_role_id_file": role_id,
        "transit_secret_id_file": secret_id,
    }
    with start_world(changes=changes, kind=DevService) as world:
        yield world


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with running_openbao(tmp_path_factory.mktemp("openbao")) as started:
        started.call("POST", "transit/keys/pdv-audit-log", {"type": "ed25519"})
        yield started


def test_permission_revoked(start_world: StartWorld, bao: OpenBao, tmp_path: Path) -> None:
    """A right that was withdrawn ends the use of cached keys too, and comes back by itself."""
    with dev_world(start_world, tmp_path, bao) as world:
        tokens = list(world.seed(1))
        bao.set_policy(
            'path "auth/token/lookup-self" { capabilities = ["read"] }\n'
            'path "auth/token/renew-self" { capabilities = ["update"] }\n'
        )
        broken = time.monotonic()
        try:
            assert "KEY_STORE_DENIED" == uncached_write(world).reason.name
            assert _last_success(world, tokens, broken) < GRACE_S + 2 * PROBE_S
            assert "KEY_STORE_DENIED" == uncached_write(world).reason.name
            assert world.service.health() == "NOT_SERVING"
        finally:
            bao.restore_policy()
        world.wait_until_works()


def test_token_expires_and_is_replaced(
    start_world: StartWorld, bao: OpenBao, tmp_path: Path
) -> None:
    """Tokens of two seconds that can't be renewed beyond: no call notices."""
    with dev_world(start_world, tmp_path, bao, ttl="2s") as world, world.load() as load:
        load.wait_for(1)
        time.sleep(6)
        load.stop()
        assert [] == [each for each in load.attempts() if not each["ok"]]


def test_secret_id_wrong_when_the_token_expires(
    start_world: StartWorld, bao: OpenBao, tmp_path: Path
) -> None:
    """The reason is a denial, cached keys go, and the right secret mends it without a restart."""
    with dev_world(start_world, tmp_path, bao, ttl="2s") as world:
        tokens = list(world.seed(1))
        world.read(tokens)
        secret_id = tmp_path / "secret_id"
        right = secret_id.read_text()
        secret_id.write_text("0" * 36)
        broken = time.monotonic()
        try:
            assert _last_success(world, tokens, broken) < 2 + GRACE_S + 2 * PROBE_S
            assert "KEY_STORE_DENIED" == uncached_write(world).reason.name
            time.sleep(6 * PROBE_S)  # a server locks a role out that fails too often
        finally:
            secret_id.write_text(right)
        world.wait_until_works()


def test_no_start_while_sealed(world: World) -> None:
    """The service refuses to start, says why, and its exit code says so too."""
    world.service.stop()
    with sealed(world):
        log = world.service.log.stat().st_size
        assert world.service._try_start(world.service.port) is None
        assert world.service.stop() not in (0, None)
        assert b"KEY_STORE_SEALED" in world.service.log.read_bytes()[log:]
    world.service.start()
    assert world.works()
