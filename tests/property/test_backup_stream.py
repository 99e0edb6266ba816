"""The outer format of a backup under every change that somebody can make to the file."""

import copy
import datetime as dt
import hashlib
import io
import pickle
import uuid
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vault.backup import stream
from vault.backup.stream import BackupError, BackupSealer, open_chunks, read_header
from vault.crypto.aead import DecryptError, StreamOpener, StreamSealer, new_data_key

KEY, SALT = bytes(range(32)), bytes(range(100, 132))
SMALL = 16
"""Bytes of a chunk in these tests, so that there are many."""
TAG = 16
AT = dt.datetime(2026, 11, 21, 8, 30, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(stream, "CHUNK_BYTES", SMALL)


def sealer(key: bytes = KEY, number: int = 1) -> BackupSealer:
    return BackupSealer(
        backup_id=uuid.UUID(int=number),
        begun_at=AT,
        transit_key="pdv-backup",
        wrapped="vault:v1:AAAA",
        data_key=key,
        key_salt=SALT,
    )


def sealed(plain: bytes, key: bytes = KEY, number: int = 1) -> bytes:
    one = sealer(key, number)
    return one.preamble + b"".join(one.add(plain)) + one.finish()


def opened(file: bytes, key: bytes = KEY) -> bytes:
    reader = io.BytesIO(file)
    return b"".join(open_chunks(reader.read, read_header(reader.read), key))


def chunks(file: bytes) -> tuple[bytes, list[bytes]]:
    start = len(sealer().preamble)
    step = SMALL + TAG
    return file[:start], [file[at : at + step] for at in range(start, len(file), step)]


PLAIN = bytes(range(100))
FILE = sealed(PLAIN)


@given(st.binary(max_size=200), st.lists(st.integers(0, 40)))
@example(b"", [])
@example(bytes(SMALL), [SMALL])
@settings(max_examples=200)
def test_what_went_in_comes_out_however_it_was_cut_up(plain, sizes):
    one = sealer()
    places = sorted({0, *(min(size, len(plain)) for size in sizes), len(plain)})
    parts = [plain[a:b] for a, b in pairwise(places)]
    file = one.preamble + b"".join(c for part in parts for c in one.add(part)) + one.finish()

    assert sealed(plain) == file
    assert plain == opened(file)


def test_every_flipped_bit_is_found():
    for at in range(len(FILE)):
        for bit in range(8):
            bent = bytearray(FILE)
            bent[at] ^= 1 << bit
            with pytest.raises(BackupError):
                opened(bytes(bent))


def test_every_cut_is_found():
    for end in range(len(FILE)):
        with pytest.raises(BackupError):
            opened(FILE[:end])


@given(st.binary(min_size=1, max_size=60))
def test_nothing_may_follow(more):
    with pytest.raises(BackupError):
        opened(FILE + more)


def test_chunks_can_not_change_places_come_twice_or_be_left_out():
    head, parts = chunks(FILE)
    for first in range(len(parts)):
        for second in range(len(parts)):
            swapped = list(parts)
            swapped[first], swapped[second] = parts[second], parts[first]
            variants = [[*parts[:first], parts[second], *parts[first:]], parts[:first]]
            variants += [parts[:first] + parts[first + 1 :]]
            variants += [swapped] if first != second else []
            for variant in variants:
                with pytest.raises(BackupError):
                    opened(head + b"".join(variant))


def test_a_chunk_of_another_backup_under_the_same_key_does_not_fit():
    head, parts = chunks(FILE)
    _, others = chunks(sealed(PLAIN, number=2))
    for at in range(len(parts)):
        with pytest.raises(BackupError):
            opened(head + b"".join([*parts[:at], others[at], *parts[at + 1 :]]))


def test_a_shorter_backup_can_not_be_made_of_a_longer_one():
    """The last chunk says that it is the last; none before it does."""
    head, parts = chunks(FILE)
    for count in range(1, len(parts)):
        with pytest.raises(BackupError):
            opened(head + b"".join(parts[:count]))
        with pytest.raises(BackupError):
            opened(head + b"".join([*parts[:count], parts[-1]]))


def test_an_empty_last_chunk_after_others_is_not_what_the_writer_writes():
    one = StreamSealer(KEY, SALT)
    preamble = sealer().preamble
    aad = hashlib.sha256(preamble).digest()
    file = preamble + one.seal(bytes(SMALL), aad, is_last=False) + one.seal(b"", aad, is_last=True)

    with pytest.raises(BackupError, match="cut or changed"):
        opened(file)


@given(st.binary(min_size=32, max_size=32).filter(lambda key: key != KEY))
def test_another_key_is_told_from_damage(key):
    with pytest.raises(BackupError, match="the key is not this backup's"):
        opened(FILE, key)


def test_a_key_of_a_wrong_length_is_another_key():
    for length in (0, 16, 31, 33):
        with pytest.raises(BackupError, match="not this backup's"):
            opened(FILE, bytes(length))


@given(st.binary(max_size=300))
def test_no_other_bytes_are_a_header(data):
    with pytest.raises(BackupError):
        read_header(io.BytesIO(data).read)
    with pytest.raises(BackupError):
        read_header(io.BytesIO(stream.MAGIC + data).read)


def test_a_header_has_one_spelling():
    text = sealer().preamble[20:]
    for other in (
        text.replace(b'","', b'", "', 1),
        text.replace(b"pdv-backup", b"pdv\\u002dbackup"),
        text.replace(b'"begun_at"', b'"begun_on"'),
        text + b" ",
        b"[]",
        b'"x"',
        b"[" * 9000,
    ):
        file = stream.MAGIC + len(other).to_bytes(4, "big") + other
        with pytest.raises(BackupError):
            read_header(io.BytesIO(file).read)


def test_stream_keys_stay_where_they_are_and_end():
    one = StreamSealer(*new_data_key())
    assert "StreamSealer(...)" == repr(one)
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            way(one)
    with pytest.raises(ValueError, match="associated data"):
        one.seal(b"", b"", is_last=True)
    one.seal(b"", b"a", is_last=True)
    with pytest.raises(ValueError, match="over"):
        one.seal(b"", b"a", is_last=False)
    with pytest.raises(ValueError, match="length"):
        StreamSealer(b"", bytes(32))


def test_after_a_failure_an_opener_opens_nothing():
    first = StreamSealer(KEY, SALT).seal(b"x", b"a", is_last=False)
    opener = StreamOpener(KEY, SALT)
    with pytest.raises(DecryptError):
        opener.open(bytes(17), b"a", is_last=False)
    with pytest.raises(DecryptError):
        opener.open(first, b"a", is_last=False)


def test_nonces_never_come_twice():
    seen = set()
    one = StreamSealer(KEY, SALT)
    for number in range(1000):
        seen.add(one.seal(b"", b"a", is_last=number == 999))
    assert 1000 == len(seen)
