"""Erasure when things break: a kill, a cut, a full disk, another ledger, a restore."""

import contextlib
import json
import resource
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.database import DatabaseEyes
from tests.support.erasures import Consumer, consumer, erase, erased, found, reason, traces
from tests.support.faults import LinkedService, StartWorld, World
from tests.support.service import VaultService, wait_until
from vault.errors import Reason

_LISTENER = "pdvault-listener"
_REPO = Path(__file__).parents[2]


@contextlib.contextmanager
def beside(world: World, folder: Path, extra: str = "") -> Iterator[LinkedService]:
    """Another process on the same database and ledger, over links of the world."""
    folder.chmod(0o700)
    second = LinkedService(world.instance, world.service.urls, folder, extra)
    second.postgres_port = world.postgres.port
    second.changes = world.service.changes  # type: ignore[attr-defined]
    try:
        second.start()
        yield second
    finally:
        second.stop()
        second.database.close()


def put_back(service: VaultService, token: str) -> Callable[[], None]:
    """What puts a token's sealed value back as it is now, for whoever has its key cached."""
    database = service.database
    envelope = database.value("select envelope from tokens where token = $1", token)

    def restore() -> None:
        database.execute("update tokens set envelope = $2 where token = $1", token, envelope)

    return restore


def listeners(service: VaultService) -> list[int]:
    rows = service.database.fetch(
        "select pid from pg_stat_activity where datname = current_database()"
        " and application_name = $1",
        _LISTENER,
    )
    return [row["pid"] for row in rows]


def replay(service: VaultService, *options: str) -> tuple[int, Any]:
    """`pdvault erasures replay --json` with the service's configuration."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "vault", "erasures", "replay", "--json"),
            *("--config", str(service.folder / "pdvault.toml"), *options),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=_REPO,
        timeout=60,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def refusal(service: VaultService) -> str:
    """Why it does not start."""
    before = service.log.stat().st_size if service.log.exists() else 0
    assert service._try_start(service.port) is None
    return service.log.read_text()[before:]


# --- Other processes ----------------------------------------------------------------------


def test_another_process_forgets_the_key_at_once(world: World, tmp_path: Path) -> None:
    service = world.service
    with beside(world, tmp_path) as second:
        delays = []
        for _ in range(5):
            one = consumer(service)
            assert Reason.NONE == reason(second, one.token)  # the key is in its memory now
            restore = put_back(service, one.token)
            began = time.monotonic()
            erased(service, subject_ref=one.ref)
            answered = time.monotonic()
            assert Reason.ERASED == reason(second, one.token)
            restore()
            # A key in memory would open it.
            wait_until(
                lambda one=one: reason(second, one.token) == Reason.ERASED,
                seconds=1,
                text="the key is still cached",
            )
            delays.append((answered - began, time.monotonic() - answered))
        print("erase took, known everywhere after:", delays)


def test_a_process_that_hears_nothing_forgets_at_cache_age(
    start_world: StartWorld, tmp_path: Path
) -> None:
    """Its listener is a black hole: the erasure does not reach it, the heartbeat is missed."""
    with start_world() as world, beside(world, tmp_path) as second:
        service = world.service
        one = consumer(service)
        assert Reason.NONE == reason(second, one.token)
        world.postgres.stall_marked(_LISTENER.encode())
        restore = put_back(service, one.token)
        erased(service, subject_ref=one.ref)
        restore()
        seconds = wait_until(
            lambda: reason(second, one.token) == Reason.ERASED,
            seconds=10,
            text="the key is still cached",
        )
        print("cut off, forgotten after", round(seconds, 2), "s")
        # It serves others meanwhile, without a cache, and comes back by itself.
        other = consumer(service)
        assert Reason.NONE == reason(second, other.token)
        world.postgres.mend()
        wait_until(lambda: len(listeners(service)) == 2, seconds=10, text="nobody listens again")
        assert Reason.NONE == reason(second, other.token)


def test_a_listener_that_is_cut_listens_again(world: World) -> None:
    service = world.service
    one = consumer(service)
    (before,) = listeners(service)
    world.postgres.cut()
    wait_until(
        lambda: bool(set(listeners(service)) - {before}),
        seconds=5,
        text="nobody listens again",
    )
    world.wait_until_works()
    erased(service, token=one.token)
    assert Reason.ERASED == reason(service, one.token)
    log = service.log.read_text()
    assert "key_events.lost" in log
    assert log.count("key_events.listening") == 2


# --- Cut off in the middle ----------------------------------------------------------------


def erase_and_kill(world: World, one: Consumer) -> None:
    """End it by force after the ledger has the line, before the transaction has committed."""
    service = world.service
    size = service.ledger_file.stat().st_size
    subject = traces(service.database, one.token).subject
    service.database.execute("begin")
    service.database.fetch(
        "select wrapped from subject_keys where subject_id = $1 for update", subject
    )
    answer = erase(service, subject_ref=one.ref, timeout=0.5)
    assert answer.code == "DEADLINE_EXCEEDED"
    assert service.ledger_file.stat().st_size > size
    world.kill9()
    service.database.execute("rollback")


def test_killed_between_ledger_and_transaction(world: World) -> None:
    """The next start finishes it; a repetition has its certificate."""
    service = world.service
    one = consumer(service)
    old = traces(service.database, one.token)
    erase_and_kill(world, one)
    assert found(service.database, old)
    with service.recording() as entries:
        service.start()
    assert [] == found(service.database, old)
    assert Reason.ERASED == reason(service, one.token)
    certificate = erased(service, token=one.token)
    assert ["pdvault.Erasures/Replay"] == [
        e.rpc for e in entries if e.entry_id.hex == certificate.entry_id
    ]


def test_killed_and_replayed_by_command(world: World) -> None:
    service = world.service
    one = consumer(service)
    old = traces(service.database, one.token)
    erase_and_kill(world, one)
    assert (0, 1, True) == (
        (result := replay(service, "--dry-run"))[0],
        result[1]["erasures"],
        result[1]["dry_run"],
    )
    assert found(service.database, old)
    assert 1 == replay(service)[1]["erasures"]
    assert [] == found(service.database, old)
    assert 0 == replay(service)[1]["erasures"]
    service.start()
    assert Reason.ERASED == reason(service, one.token)


def test_another_process_finishes_what_a_killed_one_began(world: World, tmp_path: Path) -> None:
    """By the next erasure at the latest; the others serve on meanwhile."""
    with beside(world, tmp_path) as second:
        one, other = consumer(second), consumer(second)
        erase_and_kill(world, one)
        assert Reason.NONE == reason(second, other.token)
        erased(second, token=other.token)
        assert Reason.ERASED == reason(second, one.token)


def test_caller_that_leaves_gets_its_erasure(world: World) -> None:
    """The call ends late; the erasure does not stop, and leaves one entry."""
    service = world.service
    one = consumer(service)
    subject = traces(service.database, one.token).subject
    service.database.execute("begin")
    service.database.fetch(
        "select wrapped from subject_keys where subject_id = $1 for update", subject
    )
    newest = service.database.newest_entry()
    assert "DEADLINE_EXCEEDED" == erase(service, token=one.token, timeout=0.5).code
    service.database.execute("rollback")
    wait_until(
        lambda: reason(service, one.token) == Reason.ERASED, seconds=5, text="it was given up"
    )
    entries = [e for e in service.database.entries(after=newest) if "Erase" in e.rpc]
    assert ["NONE"] == [entry.reason.name for entry in entries]


# --- Ledgers that are not what they must be ------------------------------------------------


def _cut(lines: list[bytes]) -> bytes:
    return b"".join(lines[:-1])


def _torn(lines: list[bytes]) -> bytes:
    return b"".join(lines)[:-20]


def _edited(lines: list[bytes]) -> bytes:
    return b"".join(lines).replace(b"consumer_request", b"consent_withdrawn", 1)


def _reordered(lines: list[bytes]) -> bytes:
    return b"".join([lines[0], lines[2], lines[1], *lines[3:]])


def _inserted(lines: list[bytes]) -> bytes:
    return b"".join([*lines[:2], lines[1], *lines[2:]])


def _other_origin(lines: list[bytes]) -> bytes:
    return b"".join(lines).replace(b"pdvault.example/audit", b"other.example/audit", 1)


@pytest.mark.parametrize("bend", [_cut, _torn, _edited, _reordered, _inserted, _other_origin, None])
def test_a_ledger_that_is_not_the_one_is_refused(
    world: World, bend: Callable[[list[bytes]], bytes] | None
) -> None:
    service = world.service
    for _ in range(3):
        erased(service, token=consumer(service).token)
    one = consumer(service)
    assert 0 == service.stop()
    good = service.ledger_file.read_bytes()
    if bend is None:
        service.ledger_file.unlink()
    else:
        service.ledger_file.write_bytes(bend(good.splitlines(keepends=True)))
    assert "ledger" in refusal(service)
    assert 1 == replay(service)[0]
    service.ledger_file.write_bytes(good)
    service.start()
    assert Reason.NONE == reason(service, one.token)


def test_a_ledger_begun_anew_is_refused(world: World) -> None:
    service = world.service
    erased(service, token=consumer(service).token)
    assert 0 == service.stop()
    good = service.ledger_file.read_bytes()
    header = json.loads(good.splitlines()[0]) | {"ledger": uuid.uuid4().hex}
    service.ledger_file.write_text(json.dumps(header, separators=(",", ":")) + "\n")
    assert "ledger" in refusal(service)
    service.ledger_file.write_bytes(good)


def test_a_line_that_a_crash_cut_off_is_taken_away(world: World) -> None:
    service = world.service
    erased(service, token=consumer(service).token)
    assert 0 == service.stop()
    with service.ledger_file.open("ab") as file:
        file.write(b'{"v":1,"index":2,"kind":"era')
    service.start()
    certificate = erased(service, token=consumer(service).token)
    assert 2 == certificate.ledger_index
    assert service.ledger_file.read_bytes().count(b"\n") == 3
    assert 0 == service.stop()
    service.start()
    assert "SERVING" == service.health()


# --- A database that was restored ----------------------------------------------------------


def test_a_restored_database_serves_nobody_before_the_replay(world: World) -> None:
    service = world.service
    postgres, name = world.instance.postgres, service.urls.name
    one, other = consumer(service), consumer(service)
    old = traces(service.database, one.token)
    assert 0 == service.stop()
    service.database.close()
    postgres.create_database(f"{name}_dump", template=name)
    service.start()
    service.database = DatabaseEyes(service.urls.owner)
    certificate = erased(service, subject_ref=one.ref)
    assert 0 == service.stop()
    _restore(world)
    assert found(service.database, old)
    assert "1 entries of the ledger of erasures are not applied" in refusal(service)
    assert (0, 1) == ((done := replay(service))[0], done[1]["erasures"])
    assert [] == found(service.database, old)
    service.start()
    assert Reason.ERASED == reason(service, one.token)
    assert Reason.NONE == reason(service, other.token)
    again = erased(service, token=one.token)
    assert (certificate.erasure_id, certificate.ledger_hash) == (
        again.erasure_id,
        again.ledger_hash,
    )


def test_a_database_restored_under_a_running_service(world: World) -> None:
    """Every call is turned away, and health says so, until the replay; then it serves by itself."""
    service = world.service
    one, other = consumer(service), consumer(service)
    assert 0 == service.stop()
    service.database.close()
    name = service.urls.name
    world.instance.postgres.create_database(f"{name}_dump", template=name)
    service.start()
    service.database = DatabaseEyes(service.urls.owner)
    erased(service, token=one.token)
    world.postgres.refuse()  # as a server that is down
    _restore(world)
    world.postgres.mend()
    seen: set[str] = set()

    def is_noticed() -> bool:
        answer = service.call(
            "Detokenize",
            {"purpose": "delivery", "items": [{"token": one.token}]},
            caller="shipping",
        )
        seen.add(answer.reason or answer.read("Detokenize").items[0].value)
        return answer.reason == "LEDGER_NOT_REPLAYED"

    wait_until(is_noticed, seconds=10, text="the old database is served")
    assert seen <= {"LEDGER_NOT_REPLAYED", "DATABASE_UNAVAILABLE", "AUDIT_UNAVAILABLE"}
    world.wait_for_health("NOT_SERVING")
    for rpc, request, caller in (
        ("GetBundle", {}, "auditor"),
        ("EraseSubject", {"token": other.token, "cause": "legal_order"}, "privacy"),
        ("ListEntries", {}, "auditor"),
    ):
        assert "LEDGER_NOT_REPLAYED" == service.call(rpc, request, caller=caller).reason
    assert 1 == replay(service)[1]["erasures"]
    world.wait_for_health("SERVING")
    assert (Reason.ERASED, Reason.NONE) == (
        reason(service, one.token),
        reason(service, other.token),
    )


def _restore(world: World) -> None:
    """Puts the copy in the database's place, as somebody who knows that the log went back."""
    service = world.service
    postgres, name = world.instance.postgres, service.urls.name
    service.database.close()
    postgres.drop_database(name)
    postgres.create_database(name, template=f"{name}_dump")
    postgres.drop_database(f"{name}_dump")
    service.folder.joinpath("witness", "checkpoint").unlink()
    service.database = DatabaseEyes(service.urls.owner)


# --- Disks ---------------------------------------------------------------------------------


def test_a_full_disk_erases_nothing(world: World) -> None:
    service = world.service
    one = consumer(service)
    size = service.ledger_file.stat().st_size
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (size + 10, -1))
    assert "AUDIT_UNAVAILABLE" == erase(service, token=one.token).reason
    assert size == service.ledger_file.stat().st_size
    assert Reason.NONE == reason(service, one.token)
    assert 0 == service.database.value("select count(*) from ledger_intents")
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (-1, -1))
    erased(service, token=one.token)
    assert Reason.ERASED == reason(service, one.token)


def test_two_processes_add_at_once(world: World, tmp_path: Path) -> None:
    """The chain holds, and nobody's erasure is lost."""
    with beside(world, tmp_path) as second:
        consumers = [consumer(world.service) for _ in range(20)]
        done: list[Any] = []

        def work(service: VaultService, part: list[Consumer]) -> None:
            done.extend(erased(service, token=one.token) for one in part)

        threads = [
            threading.Thread(target=work, args=(service, consumers[start::4]))
            for start, service in enumerate([world.service, second] * 2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(range(1, 21)) == {certificate.ledger_index for certificate in done}
        assert 21 == world.service.ledger_file.read_bytes().count(b"\n")
        assert (0, 0) == ((result := replay(second))[0], result[1]["erasures"])


def test_a_killed_holder_holds_nobody_up(world: World, tmp_path: Path) -> None:
    with beside(world, tmp_path) as second:
        one = consumer(second)
        erase_and_kill(world, one)
        began = time.monotonic()
        erased(second, token=one.token)
        assert time.monotonic() - began < 2
