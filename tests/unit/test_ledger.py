"""The ledger's lines and its file: one spelling, one chain, durable or not there."""

import dataclasses
import datetime as dt
import errno
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.keys.ledger import (
    BACKUP_KINDS,
    CAUSES,
    BackupLine,
    EraseLine,
    Head,
    Header,
    LedgerError,
    encode_header,
    encode_line,
    line_hash,
    read_header,
    read_line,
)
from vault.model import SubjectId, TenantId
from vault.service.ledger import Standing, judge
from vault.store.ledger_file import LedgerFile, LedgerView, OpenLedger

ORIGIN = "shop.example/audit"
VECTORS = json.loads(Path(__file__).parents[1].joinpath("vectors/ledger.json").read_text())["lines"]
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
_TIMES = st.integers(0, 6 * 10**15).map(
    lambda us: dt.datetime(2000, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=us)
)
_NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)
_ERASES = st.builds(
    EraseLine,
    erasure_id=st.uuids(),
    tenant=_NAMES.map(TenantId),
    subject_id=st.uuids().map(SubjectId),
    time=_TIMES,
    cause=st.sampled_from(CAUSES),
)
_BACKUPS = st.builds(
    BackupLine,
    backup_id=st.uuids(),
    kind=st.sampled_from(BACKUP_KINDS),
    taken_at=_TIMES,
    covers_until=st.none() | _TIMES,
    keep_until=_TIMES,
    time=_TIMES,
    roots=st.dictionaries(
        _NAMES,
        st.dictionaries(st.integers(1, 10**8), st.integers(0, 10**12), max_size=3),
        max_size=3,
    ),
)
_HEADS = st.builds(Head, st.integers(0, 10**9), st.binary(min_size=32, max_size=32))


def an_erasure() -> EraseLine:
    return EraseLine(
        uuid.uuid4(), TenantId("demo-shop"), SubjectId(uuid.uuid4()), NOON, "legal_order"
    )


# --- Lines --------------------------------------------------------------------------------


def test_golden_lines() -> None:
    """Read, written again and hashed as the script without our code has it."""
    data = [vector["line"].encode() for vector in VECTORS]
    header, head = read_header(data[0])
    assert data[0] == encode_header(header)
    assert (ORIGIN, VECTORS[0]["hash"]) == (header.origin, head.hash.hex())
    for each, vector in zip(data[1:], VECTORS[1:], strict=True):
        linked = read_line(each, head)
        assert each == encode_line(linked.line, head)
        head = linked.head
        assert vector["hash"] == head.hash.hex()


@given(_ERASES | _BACKUPS, _HEADS)
def test_round_trip(line: EraseLine | BackupLine, after: Head) -> None:
    data = encode_line(line, after)
    linked = read_line(data, after)
    assert (line, after.index + 1, line_hash(data)) == (
        linked.line,
        linked.head.index,
        linked.head.hash,
    )


@given(st.data())
def test_no_changed_byte_is_read(data: st.DataObject) -> None:
    """Every one-byte change, removal and addition to a line or the header is refused."""
    index = data.draw(st.integers(0, len(VECTORS) - 1))
    line = VECTORS[index]["line"].encode()
    after = Head(index - 1, bytes.fromhex(VECTORS[index - 1]["hash"]))
    at = data.draw(st.integers(0, len(line) - 1))
    kind = data.draw(st.sampled_from(["change", "remove", "add"]))
    byte = bytes([data.draw(st.integers(0, 255))])
    changed = line[:at] + (b"" if kind == "remove" else byte) + line[at + (kind != "add") :]
    if changed == line:
        return
    next_line = VECTORS[index + 1]["line"].encode() if index + 1 < len(VECTORS) else None
    try:
        head = read_header(changed)[1] if index == 0 else read_line(changed, after).head
    except LedgerError:
        return
    # What it says may be changed into another line; then the next one does not follow it, or, of
    # the newest, the database knows another hash.
    assert head.hash.hex() != VECTORS[index]["hash"]
    if next_line is not None:
        with pytest.raises(LedgerError):
            read_line(next_line, head)


@pytest.mark.parametrize(
    "bend",
    [
        lambda lines: [lines[0], lines[2], lines[1]],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[0], lines[1], lines[1]],
        lambda lines: [lines[1], lines[2]],
        lambda lines: [lines[0], b""],
        lambda lines: [lines[0], b"[" * 10_000],
        lambda lines: [lines[0], lines[1] + b" "],
        lambda lines: [lines[0], b" " + lines[1]],
        lambda lines: [lines[0], lines[1].replace(b'"v":1', b'"v":2')],
        lambda lines: [lines[0], lines[1].replace(b'"v":1', b'"v":1,"v":1')],
        lambda lines: [lines[0], lines[1].replace(b'"v":1', b'"v":1.0')],
        lambda lines: [lines[0], lines[1].replace(b'"v":1', b'"v":true')],
        lambda lines: [lines[0], lines[1].replace(b"consumer_request", b"because")],
        lambda lines: [lines[0], lines[1].replace(b"-03-02T", b"-02-30T")],
        lambda lines: [lines[0], lines[1].replace(b'"kind":"erase"', b'"kind":"backup"')],
        lambda lines: [lines[0], b"x" * 70_000],
    ],
)
def test_hostile_ledgers(bend: Callable[[list[bytes]], list[bytes]]) -> None:
    bent = bend([vector["line"].encode() for vector in VECTORS])

    def read() -> None:
        _, head = read_header(bent[0])
        for line in bent[1:]:
            head = read_line(line, head).head

    with pytest.raises(LedgerError):
        read()


def test_a_line_tells_nothing_but_handles_times_and_words() -> None:
    assert {field.name for field in dataclasses.fields(EraseLine)} == {
        *("erasure_id", "tenant", "subject_id", "time", "cause")
    }


# --- The file -----------------------------------------------------------------------------


def opened(file: LedgerFile, *, write: bool = True) -> OpenLedger:
    ledger = file.open(write=write)
    assert ledger is not None
    assert ledger.try_lock()
    return ledger


def begun(path: Path, count: int = 0, **options: object) -> LedgerFile:
    file = LedgerFile(path, origin=ORIGIN)
    ledger = opened(file)
    ledger.begin(Header(uuid.uuid4(), ORIGIN, NOON))
    for _ in range(count):
        add(ledger)
    ledger.close()
    return LedgerFile(path, origin=ORIGIN, **options)  # type: ignore[arg-type]


def add(ledger: OpenLedger) -> Head:
    view = seen(ledger)
    return ledger.add(an_erasure(), view.head, view.end)


def seen(ledger: OpenLedger, index: int = -1) -> LedgerView:
    view = ledger.view(index)
    assert view is not None
    return view


def test_what_was_added_is_read(tmp_path: Path) -> None:
    file = begun(tmp_path / "ledger", 3)
    ledger = opened(file)
    head = add(ledger)
    view = seen(ledger, 1)
    assert (4, head, 1) == (view.head.index, view.head, view.known.index if view.known else None)
    assert [2, 3, 4] == [linked.head.index for linked in view.missing]
    again = seen(ledger, 4)
    assert (view.head, ()) == (again.known, again.missing)
    ledger.close()


def test_one_writer_or_many_readers(tmp_path: Path) -> None:
    file = begun(tmp_path / "ledger")
    writer = opened(file)
    others = [file.open(write=write) for write in (True, False)]
    assert [False, False] == [other.try_lock() for other in others if other]
    writer.close()
    readers = [opened(file, write=False) for _ in range(3)]
    assert not others[0].try_lock() if others[0] else False
    for each in (*readers, *(other for other in others if other)):
        each.close()


def test_a_replaced_file_is_noticed(tmp_path: Path) -> None:
    file = begun(tmp_path / "ledger")
    ledger = opened(file)
    assert ledger.is_current()
    begun(tmp_path / "other")
    (tmp_path / "other").replace(tmp_path / "ledger")
    assert not ledger.is_current()
    ledger.close()


def test_a_torn_line_is_passed_over_and_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    file = begun(path, 2)
    whole = path.read_bytes()
    for length in (1, 50, 200):
        path.write_bytes(whole + whole.splitlines(keepends=True)[1][:length])
        ledger = opened(file)
        assert 2 == seen(ledger).head.index
        add(ledger)
        assert 3 == seen(ledger).head.index
        ledger.close()


def test_a_change_behind_what_was_read_is_noticed(tmp_path: Path) -> None:
    """What a process has read it does not read again, but for the newest line of it."""
    path = tmp_path / "ledger"
    file = begun(path, 3)
    ledger = opened(file)
    known = seen(ledger, 2).known
    other = begun(tmp_path / "other", 3)
    assert other.path.exists()
    path.write_bytes(other.path.read_bytes())
    assert known != seen(ledger, 2).known
    ledger.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_line_that_is_not_durable_is_not_there(tmp_path: Path, number: int) -> None:
    path = tmp_path / "ledger"
    broken = True

    def sync(descriptor: int) -> None:
        if broken:
            raise OSError(number, "injected")
        os.fsync(descriptor)

    file = begun(path, 1, sync=sync)
    before = path.read_bytes()
    ledger = opened(file)
    with pytest.raises(OSError, match="injected"):
        add(ledger)
    assert before == path.read_bytes()
    broken = False
    assert 2 == add(ledger).index
    ledger.close()


def test_folder_and_file_are_synced_each_time(tmp_path: Path) -> None:
    synced: list[str] = []

    def sync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    ledger = opened(begun(tmp_path / "ledger", sync=sync))
    add(ledger)
    ledger.close()
    assert ["ledger", tmp_path.name] == synced


def test_another_deployments_ledger_is_refused(tmp_path: Path) -> None:
    begun(tmp_path / "ledger", 1)
    ledger = opened(LedgerFile(tmp_path / "ledger", origin="other.example/audit"))
    with pytest.raises(LedgerError, match="another deployment"):
        ledger.view(-1)
    ledger.close()


def test_a_large_ledger_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    begun(path)
    header, head = read_header(path.read_bytes()[:-1])
    assert ORIGIN == header.origin
    with path.open("ab") as out:
        for _ in range(20_000):
            data = encode_line(an_erasure(), head)
            head = Head(head.index + 1, line_hash(data))
            out.write(data + b"\n")
    ledger = opened(LedgerFile(path, origin=ORIGIN))
    assert 20_000 == seen(ledger, 20_000).head.index
    broken = path.read_bytes().replace(b"legal_order", b"spite_order", 1)
    path.write_bytes(broken)
    assert 20_000 == seen(ledger, 20_000).head.index  # the start of it is not read again
    ledger.close()


# --- Database and ledger ------------------------------------------------------------------


def test_how_a_database_stands(tmp_path: Path) -> None:
    file = begun(tmp_path / "ledger", 3)
    ledger = opened(file, write=False)
    heads = [seen(ledger, index).known for index in range(4)]
    assert all(heads)
    assert Standing.AGREES is judge(seen(ledger, 3), heads[3]).standing
    behind = judge(seen(ledger, 1), heads[1])
    assert (Standing.BEHIND, 2) == (behind.standing, len(behind.missing))
    assert Standing.BEHIND is judge(seen(ledger), None).standing
    other = dataclasses.replace(heads[2], hash=bytes(32)) if heads[2] else None
    assert Standing.LOST is judge(seen(ledger, 2), other).standing
    assert Standing.LOST is judge(seen(ledger, 9), Head(9, bytes(32))).standing
    assert Standing.LOST is judge(None, heads[0]).standing
    assert Standing.FRESH is judge(None, None).standing
    ledger.close()
    fresh = opened(begun(tmp_path / "fresh"), write=False)
    assert Standing.FRESH is judge(seen(fresh), None).standing
    fresh.close()
