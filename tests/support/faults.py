"""A world for faults: servers that a test may break, links to them, a service, load, and proof.

The servers are others than the session's `instance`, so that breaking them breaks nobody else.
"""

import contextlib
import json
import signal
import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.database import DatabaseEyes
from tests.support.embedded import DatabaseUrls
from tests.support.link import Link, link
from tests.support.service import VaultService, new_key, wait_until
from vault.audit.entry import Entry
from vault.client import RetryPolicy, Revealed, VaultCallError, VaultClient
from vault.crypto.tokens import token_digest
from vault.embedded import EmbeddedInstance
from vault.embedded.config_file import Settings
from vault.embedded.files import write_file
from vault.model import Verdict, View
from vault.service.call import Issued
from vault.service.outcome import unpack_outcome

RECOVERY_S = 10.0
"""How soon everything works again, by itself, after a fault has gone."""
FAULT_REASONS = {
    "AUDIT_UNAVAILABLE",
    "DATABASE_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "OUTCOME_UNKNOWN",
    "OVERLOADED",
    "SHUTTING_DOWN",
    "NONE",  # nobody answered: connection refused or cut
}
_REPO = Path(__file__).parents[2]


class LinkedService(VaultService):
    """A service that reaches PostgreSQL and OpenBao over links, or as a test has bent it."""

    postgres_port = 0
    changes: Mapping[str, object] = MappingProxyType({})

    def _settings(self) -> Settings:
        settings = super()._settings()
        here, there = f":{self.instance.postgres.port}/", f":{self.postgres_port}/"
        for each in fields(settings):
            path = getattr(settings, each.name)
            if each.name.endswith("_url_file") and path.parent == self.folder:
                write_file(path, path.read_text().replace(here, there))
        return replace(settings, **self.changes)


class World:
    """One service with its links to PostgreSQL and OpenBao, on a database of its own."""

    def __init__(
        self, instance: EmbeddedInstance, service: VaultService, postgres: Link, transit: Link
    ) -> None:
        self.instance = instance
        self.service = service
        self.postgres = postgres
        self.transit = transit

    @property
    def clients(self) -> Path:
        return self.instance.settings().clients_folder

    def client(
        self, name: str, *, timeout: float = 10, attempts: int = 1, port: int = 0
    ) -> VaultClient:
        return VaultClient.from_directory(
            self.clients / name,
            f"127.0.0.1:{port or self.service.port}",
            timeout=timeout,
            retry=RetryPolicy(attempts=attempts),
        )

    def seed(self, count: int = 20) -> dict[str, str]:
        """Phones of new subjects, stored; token to value."""
        phones = [f"1390000{number:04d}" for number in range(count)]
        with self.client("order") as order:
            outcome = order.tokenize([(f"seed-{new_key()}", {"phone": phone}) for phone in phones])
        tokens = [each.tokens["phone"] for each in outcome.subjects]
        return dict(zip(tokens, phones, strict=True))

    def read(self, tokens: Sequence[str], *, timeout: float = 10) -> list[str]:
        """The values behind tokens; every one must be revealed."""
        with self.client("shipping", timeout=timeout) as shipping:
            items = shipping.detokenize("delivery", tokens).items
        assert all(isinstance(item, Revealed) for item in items), items
        return [item.value for item in items if isinstance(item, Revealed)]

    def works(self) -> bool:
        """Whether a write and a read of it go through, just now."""
        try:
            with self.client("order", timeout=3) as order:
                outcome = order.tokenize([(new_key(), {"phone": "13900000000"})])
            self.read(list(outcome.subjects[0].tokens.values()), timeout=3)
        except VaultCallError:
            return False
        return True

    def wait_until_works(self, seconds: float = RECOVERY_S) -> float:
        return wait_until(self.works, seconds=seconds, text="the service did not recover")

    def wait_for_health(self, state: str, seconds: float = RECOVERY_S) -> float:
        return wait_until(
            lambda: self.service.health() == state, seconds=seconds, text=f"health is not {state}"
        )

    def reconnect(self) -> None:
        """The test's own eyes again, after PostgreSQL was restarted."""
        with contextlib.suppress(Exception):
            self.service.database.close()
        self.service.database = DatabaseEyes(self.service.urls.owner)

    def kill9(self) -> None:
        """Ends the service as a power cut would."""
        self.service.signal(signal.SIGKILL)
        assert self.service.stop() == -signal.SIGKILL

    @contextlib.contextmanager
    def load(self, **changes: object) -> Iterator["Load"]:
        """Load from another process, for as long as the block lasts."""
        running = Load(self, changes)
        running.start()
        try:
            yield running
        finally:
            running.stop()


class Load:
    """The load process, and its diary once it has ended.

    Settings: writers, readers (how many at once), subjects (of each write), timeout (of each
    attempt), pause (between two calls of one worker), tokens (lists to read from the start).
    """

    def __init__(self, world: World, changes: dict[str, object]) -> None:
        self._diary = world.service.folder / f"diary-{new_key()}.jsonl"
        self._settings = {
            "address": f"127.0.0.1:{world.service.port}",
            "clients": str(world.clients),
            "diary": str(self._diary),
            "writers": 4,
            "readers": 4,
            "subjects": 3,
            "timeout": 2.0,
            "pause": 0.005,
            **changes,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.load", json.dumps(self._settings)],
            stdin=subprocess.PIPE,
            cwd=_REPO,
        )

    def stop(self) -> None:
        """Lets the calls at work end."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            assert self._process.wait(30) == 0
            self._process = None

    def kill9(self) -> None:
        """Ends it in the middle of its calls."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def attempts(self) -> list[dict[str, Any]]:
        """What the diary says so far."""
        if not self._diary.exists():
            return []
        text = self._diary.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def wait_for(self, count: int, *, after: int = 0, seconds: float = 15) -> int:
        """Waits until `count` more calls than `after` went well; how many did in all."""
        wait_until(
            lambda: self._good() >= after + count, seconds=seconds, text="the load does not run"
        )
        return self._good()

    def _good(self) -> int:
        return sum(attempt["ok"] for attempt in self.attempts())


@dataclass(frozen=True, slots=True)
class Proof:
    """What `prove` counted, so that a test can see that it proved something."""

    reads: int
    writes: int
    failures: int


def prove(world: World, attempts: Sequence[dict[str, Any]]) -> Proof:
    """Holds a diary against the database, and everything in the database against itself.

    No value without a durable entry; no acknowledged token lost; nothing half-written.
    """
    database = world.service.database
    by_call = entries_by_call(database.entries())
    reads = [each for each in attempts if each["ok"] and each["kind"] == "read"]
    writes = [each for each in attempts if each["ok"] and each["kind"] == "write"]
    for read in reads:
        _check_disclosure(by_call[read["call_id"]], read)
    expected: dict[str, str] = {}
    for write in writes:
        _check_write(by_call[write["call_id"]], write)
        for tokens, given in zip(write["tokens"], write["values"], strict=True):
            expected |= {tokens[name]: value for name, value in given.items()}
    check_nothing_half_written(world)
    check_readable(world, expected)
    failures = [each for each in attempts if not each["ok"]]
    return Proof(len(reads), len(writes), len(failures))


def entries_by_call(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.call_id.hex].append(entry)
    return found


def check_once_per_subject(entries: Sequence[Entry]) -> None:
    """A call's entries: some, and no subject twice."""
    subjects = [entry.subject_id for entry in entries]
    assert subjects
    assert len(subjects) == len(set(subjects)), [(e.rpc, e.verdict, e.reason) for e in entries]


def _check_disclosure(entries: Sequence[Entry], read: dict[str, Any]) -> None:
    check_once_per_subject(entries)
    revealed = {
        item.token_digest
        for entry in entries
        for item in entry.items
        if item.verdict is Verdict.ALLOWED and item.view is View.FULL
    }
    for token, value in zip(read["tokens"], read["values"], strict=True):
        assert value is None or token_digest(token) in revealed


def _check_write(entries: Sequence[Entry], write: dict[str, Any]) -> None:
    check_once_per_subject(entries)
    recorded = {item.token_digest for entry in entries for item in entry.items}
    answered = {token_digest(token) for each in write["tokens"] for token in each.values()}
    assert answered == recorded


def check_nothing_half_written(world: World) -> None:
    """Every token belongs to one write, every write's tokens exist, with subject and key."""
    database = world.service.database
    stored = {row["token"] for row in database.fetch("select token from tokens")}
    promised = [
        item.token
        for row in database.fetch("select outcome from writes")
        for group in unpack_outcome(bytes(row["outcome"]))
        for item in group
        if isinstance(item, Issued)
    ]
    assert len(promised) == len(set(promised))
    assert stored == set(promised)
    orphans = database.value(
        """
        select count(*) from tokens as t
        where not exists (select from subjects as s where s.subject_id = t.subject_id)
           or not exists (select from subject_refs as r where r.subject_id = t.subject_id)
           or not exists (
               select from subject_keys as k
               where k.subject_id = t.subject_id and k.key_version = t.key_version
           )
        """
    )
    assert orphans == 0
    bare = database.value(
        """
        select count(*) from subjects as s
        where not exists (select from subject_keys as k where k.subject_id = s.subject_id)
           or not exists (select from subject_refs as r where r.subject_id = s.subject_id)
        """
    )
    assert bare == 0


def check_readable(world: World, expected: dict[str, str]) -> None:
    """Every acknowledged token gives its value; every stored one opens."""
    rows = world.service.database.fetch(
        "select token from tokens where field_type in ('phone', 'person_name')"
    )
    tokens = [row["token"] for row in rows]
    assert expected.keys() <= set(tokens)
    values: dict[str, str] = {}
    for start in range(0, len(tokens), 1000):
        part = tokens[start : start + 1000]
        values |= dict(zip(part, world.read(part), strict=True))
    for token, value in expected.items():
        assert values[token].removeprefix("+86") == value


StartWorld = Callable[..., contextlib.AbstractContextManager[World]]


@contextlib.contextmanager
def world_on(
    instance: EmbeddedInstance,
    urls: DatabaseUrls,
    folder: Path,
    *,
    extra: str = "",
    changes: dict[str, object] | None = None,
    kind: type[LinkedService] = LinkedService,
) -> Iterator[World]:
    """A running service whose ways to PostgreSQL and OpenBao are links."""
    transit_address = instance.settings().transit_address
    with (
        link(instance.postgres.port or 0) as postgres,
        link(int(transit_address.rpartition(":")[2])) as transit,
    ):
        service = kind(instance, urls, folder, extra)
        service.postgres_port = postgres.port
        service.changes = {
            "transit_address": f"https://127.0.0.1:{transit.port}",
            **(changes or {}),
        }
        try:
            service.start()
            yield World(instance, service, postgres, transit)
        finally:
            service.stop()
            with contextlib.suppress(Exception):  # the test may have killed its server
                service.database.close()


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"
