"""Access records: sound ones are told, and every change of any byte is found."""

import json
import uuid

import pytest

from tests.support.log_vault import LogVault, in_place_of
from tests.support.small_log import Signer, SmallLog
from vault.audit.access_record import (
    AccessRecord,
    AccessRecordError,
    ProvedEntry,
    check_record,
    parse_record,
)
from vault.audit.entry import decode
from vault.audit.merkle import build_proof, inclusion_plan
from vault.audit.note import KeyType
from vault.audit.tiles import tile_source
from vault.cli.entry_values import client_entry
from vault.cli.main import main

LOG = SmallLog.of(9)
SUBJECT = uuid.UUID(int=3)
SOURCE = tile_source(LOG.tiles().__getitem__, 9)


def proved(index, log=LOG):
    return ProvedEntry(
        index, log.entries[index], tuple(build_proof(inclusion_plan(index, 9), SOURCE))
    )


def record(*indexes, subject=SUBJECT):
    note = bytes(LOG.note()).decode()
    return AccessRecord(subject, note, tuple(proved(index) for index in indexes)).document()


SOUND = record(3)


def test_a_sound_record():
    checked = check_record(SOUND, LOG.keys)
    assert (SUBJECT, [(3, decode(LOG.entries[3]))]) == (checked.subject_id, checked.entries)
    assert LOG.checkpoint() == checked.checkpoint.checkpoint
    assert SOUND == parse_record(SOUND).document()
    document = json.loads(SOUND)
    assert ("pdvault-access-record/1", "pdvault.example/audit", 1) == (
        document["format"],
        document["origin"],
        len(document["entries"]),
    )
    assert [] == check_record(record(), LOG.keys).entries


@pytest.mark.parametrize("mask", [0x01, 0x20])
def test_every_flipped_byte(mask):
    for at in range(len(SOUND)):
        data = bytearray(SOUND)
        data[at] ^= mask
        with pytest.raises(AccessRecordError):
            check_record(bytes(data), LOG.keys)


@pytest.mark.parametrize("cut", [1, 2, 50, 1000])
def test_a_record_that_was_cut_or_lengthened(cut):
    for data in (SOUND[:-cut], SOUND + b" ", b"", b"[]", b"[" * 100_000, SOUND * 2):
        with pytest.raises(AccessRecordError):
            check_record(data, LOG.keys)


@pytest.mark.parametrize(
    ("data", "index", "text"),
    [
        (record(3, 4), 4, "somebody else"),
        (record(3, 3), 3, "twice"),
        (record(4), 4, "somebody else"),
        (record(3, subject=uuid.UUID(int=5)), 3, "somebody else"),
    ],
)
def test_entries_of_others_or_twice(data, index, text):
    with pytest.raises(AccessRecordError, match=text) as error:
        check_record(data, LOG.keys)
    assert index == error.value.index


def test_an_entry_that_the_log_does_not_hold():
    """With a proof of another place, or of another log."""
    note = bytes(LOG.note()).decode()
    other = SmallLog.of(9, "after_sales")
    moved = ProvedEntry(2, LOG.entries[3], proved(2).proof)
    for entry in (moved, proved(3, other)):
        with pytest.raises(AccessRecordError, match="not what the log holds"):
            check_record(AccessRecord(SUBJECT, note, (entry,)).document(), LOG.keys)


def test_witnesses_may_be_needed(tmp_path, capsys):
    witness = Signer("witness.example/w1", KeyType.COSIGNATURE, 41)
    note = bytes(LOG.note(cosigners=((witness, 1_700_000_000),))).decode()
    cosigned = AccessRecord(SUBJECT, note, ()).document()
    needed = {"witnesses": [witness.key], "quorum": 1}
    assert 1 == len(check_record(cosigned, LOG.keys, **needed).checkpoint.witnesses)
    with pytest.raises(AccessRecordError, match="0 of 1 needed witnesses"):
        check_record(SOUND, LOG.keys, **needed)
    for code, data in ((0, cosigned), (1, SOUND)):
        path = tmp_path / "record.json"
        path.write_bytes(data)
        keys = ["--key", str(LOG.signer.key), "--witness-key", str(witness.key)]
        assert code == main(["audit", "verify-record", str(path), *keys])


def test_another_key():
    with pytest.raises(AccessRecordError, match="not to be trusted"):
        check_record(SOUND, [Signer(seed=2).key])


class StoryVault(LogVault):
    """Lists the entries of the log, newest first."""

    def list_entries(self, **filters):
        self.filters = filters
        for data in self.log.entries[::-1]:
            entry = client_entry(decode(data), data)
            if filters.get("subject_id", entry.subject_id) == entry.subject_id:
                yield entry


def test_written_told_and_checked_by_commands(monkeypatch, tmp_path, capsys):
    path, key = tmp_path / "record.json", str(LOG.signer.key)
    with in_place_of(monkeypatch, StoryVault(LOG), "audit_story"):
        argv = ["audit", "subject", "--subject-id", SUBJECT.hex]
        assert 0 == main([*argv, "--proofs", str(path), "--key", key])
        out, err = capsys.readouterr()
        assert "saw phone in full (rule reveal-full), for delivery" in out
        assert "1 entries with their proofs" in err
        assert 1 == main([*argv, "--proofs", str(path), "--key", str(Signer(seed=2).key)])
        assert "do not hold" in capsys.readouterr().err
        assert 2 == main(["audit", "subject"])
        capsys.readouterr()
    assert SOUND == path.read_bytes()
    assert 0 == main(["audit", "verify-record", str(path), "--key", key])
    told, err = capsys.readouterr()
    assert out.removeprefix(f"consumer {SUBJECT.hex}\n") == told
    assert "sound: 1 entries" in err
    assert 0 == main(["audit", "verify-record", str(path), "--key", key, "--json"])
    assert json.loads(capsys.readouterr().out)["sound"]

    path.write_bytes(record(3, 4))
    assert 1 == main(["audit", "verify-record", str(path), "--key", key])
    assert "somebody else (entry at index 4)" in capsys.readouterr().err
    assert 1 == main(["audit", "verify-record", str(path), "--key", key, "--json"])
    assert 4 == json.loads(capsys.readouterr().out)["first_index"]
    assert 2 == main(["audit", "verify-record", "nowhere", "--key", key])


def test_what_a_caller_did(monkeypatch, capsys):
    with in_place_of(monkeypatch, StoryVault(LOG), "audit_story") as vault:
        assert 0 == main(["audit", "caller", "spiffe://x/shop/shipping", "--limit", "4"])
    out, err = capsys.readouterr()
    assert "caller /shop/shipping, 4 consumers" in out
    assert "/shop/shipping saw phone in full 4 times" in out
    assert 4 == out.count("for delivery")
    assert "newest 4" in err
    assert "spiffe://x/shop/shipping" == vault.filters["caller"]
