"""The audit entry's bytes (docs/formats.md, "audit entry"): golden, strict, canonical."""

import hashlib
import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from vault.audit.entry import (
    MAX_ENTRY,
    Entry,
    EntryAct,
    EntryFormatError,
    EntryItem,
    decode,
    encode,
    leaf_hash,
)
from vault.errors import Reason
from vault.model import Authentication, SubjectId, Verdict, View

GOLDEN = Path(__file__).parent.parent / "vectors" / "audit_entry.json"


def entry(**changes: object) -> Entry:
    """A Detokenize call with one allowed and one refused item; override what matters."""
    return replace(
        Entry(
            entry_id=uuid.UUID("019a0000-0000-7000-8000-000000000001"),
            time_us=1_700_000_000_123_456,
            call_id=uuid.UUID("00000000-0000-4000-8000-0000000000c1"),
            trace_id=bytes(range(16)),
            span_id=bytes(range(8)),
            bundle_digest=bytes(range(32)),
            authentication=Authentication.MTLS,
            verdict=Verdict.ALLOWED,
            reason=Reason.NONE,
            subject_id=SubjectId(uuid.UUID("00000000-0000-4000-8000-0000000000a1")),
            tenant="demo-shop",
            rpc="vault.v1.TokenService/Detokenize",
            caller="spiffe://pdvault.example/shop/shipping",
            roles=("shipping",),
            purpose="delivery",
            case="",
            field="",
            items=(
                EntryItem(
                    bytes(32),
                    "phone",
                    View.UNSPECIFIED,
                    View.FULL,
                    Verdict.ALLOWED,
                    Reason.NONE,
                    ("reveal-full",),
                ),
                EntryItem(
                    b"\xff" * 32,
                    "resident_id",
                    View.FULL,
                    View.UNSPECIFIED,
                    Verdict.REFUSED,
                    Reason.FIELD_NOT_IN_PURPOSE,
                ),
            ),
        ),
        **changes,
    )


ENTRIES = {
    "two items": entry(),
    "no subject": entry(subject_id=None),
    "no items": entry(items=()),
    "malformed": entry(
        subject_id=None,
        items=(),
        verdict=Verdict.INVALID,
        reason=Reason.FIELD_INVALID,
        field="subjects[3].fields[0].value",
        purpose="",
    ),
    "unknown caller": entry(
        authentication=Authentication.NONE,
        tenant="",
        caller="",
        roles=(),
        items=(),
        subject_id=None,
    ),
    "item without token": entry(
        items=(
            EntryItem(
                b"",
                "phone",
                View.UNSPECIFIED,
                View.UNSPECIFIED,
                Verdict.INVALID,
                Reason.VALUE_INVALID,
            ),
        )
    ),
    "many roles": entry(roles=("a", "b", "c")),
    "an act of custody": entry(
        act=EntryAct(uuid.UUID("00000000-0000-4000-8000-0000000000e1"), bytes(range(32))),
        items=(),
        subject_id=None,
        purpose="",
        rpc="vault.v1.KeyService/ApproveAct",
        caller="spiffe://pdvault.example/vault/custodian-1",
        roles=("custodian",),
    ),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_golden_bytes_never_change(name):
    golden = json.loads(GOLDEN.read_text())[name]
    data = encode(ENTRIES[name])
    assert golden["entry"] == data.hex()
    assert golden["leaf_hash"] == leaf_hash(data).hex()


@pytest.mark.parametrize("name", ENTRIES)
def test_reading_and_writing_again_gives_the_same_bytes(name):
    data = encode(ENTRIES[name])
    assert ENTRIES[name] == decode(data)
    assert data == encode(decode(data))


@pytest.mark.parametrize("name", ENTRIES)
def test_every_truncation_is_refused(name):
    data = encode(ENTRIES[name])
    for length in range(len(data)):
        with pytest.raises(EntryFormatError):
            decode(data[:length])


def test_bytes_after_the_entry_are_refused():
    with pytest.raises(EntryFormatError, match="after the entry"):
        decode(encode(entry()) + b"\x00")


def test_every_flipped_bit_changes_the_leaf_and_is_refused_or_read_as_what_it_says():
    """No byte is padding: a change is either refused or shows in the value."""
    data = encode(entry())
    before = leaf_hash(data)
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            assert before != leaf_hash(bytes(changed))
            try:
                read = decode(bytes(changed))
            except EntryFormatError:
                continue
            assert entry() != read
            assert bytes(changed) == encode(read)


@pytest.mark.parametrize("version", [0, 3, 255])
def test_other_versions_are_refused(version):
    with pytest.raises(EntryFormatError, match="version"):
        decode(bytes([version]) + encode(entry())[1:])


def test_no_entry_is_read_as_one_of_the_other_version():
    with pytest.raises(EntryFormatError, match="cut short"):
        decode(b"\x02" + encode(entry())[1:])
    with pytest.raises(EntryFormatError, match="after the entry"):
        decode(b"\x01" + encode(ENTRIES["an act of custody"])[1:])


def test_an_act_has_a_digest_of_32_bytes():
    with pytest.raises(EntryFormatError, match="32 bytes"):
        encode(entry(act=EntryAct(uuid.UUID(int=1), bytes(31))))


def test_texts_have_a_limit():
    with pytest.raises(EntryFormatError, match="text is too long"):
        encode(entry(caller="spiffe://" + "a" * 2048))


def test_entries_have_a_limit():
    item = entry().items[0]
    with pytest.raises(EntryFormatError, match="entry is too long"):
        encode(entry(items=(replace(item, policies=("p" * 2000,) * 255),) * 10))
    with pytest.raises(EntryFormatError, match="too long"):
        decode(bytes(MAX_ENTRY + 1))


def test_leaf_hash_is_that_of_rfc_9162():
    assert hashlib.sha256(b"\x00abc").digest() == leaf_hash(b"abc")


def write_golden() -> None:
    """Writes the golden file. Only for a new version of the format."""
    golden = {
        name: {"entry": encode(each).hex(), "leaf_hash": leaf_hash(encode(each)).hex()}
        for name, each in ENTRIES.items()
    }
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    write_golden()
