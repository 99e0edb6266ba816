"""Whoever has one old key of the log verifies everything that a later key signed, offline."""

import dataclasses
import json

import pytest

from tests.support.log_vault import LogVault, in_place_of
from tests.support.small_log import Signer, SmallLog
from vault.audit.access_record import AccessRecord, AccessRecordError, ProvedEntry, check_record
from vault.audit.archive_files import SUCCESSIONS
from vault.audit.archive_verify import verify_archive
from vault.audit.damage import Damage
from vault.audit.entry import decode
from vault.audit.export_format import ExportFormatError, parse_manifest
from vault.audit.merkle import build_proof, inclusion_plan
from vault.audit.succession import read_chain, write_chain
from vault.audit.tiles import tile_source
from vault.audit.verify import verify_export
from vault.cli.main import main

COUNT = 300
SIGNERS = [Signer(seed=seed) for seed in (1, 2, 3, 4)]
FIRST = SIGNERS[0].key


def rotated() -> SmallLog:
    """A log whose key was rotated three times."""
    log = SmallLog.of(COUNT)
    for signer in SIGNERS[1:]:
        log.succeed(signer)
    return log


LOG = rotated()
FORGED = (LOG.successions[0].replace(LOG.successions[0][-20:-10], "A" * 10), *LOG.successions[1:])
BROKEN = {
    "forged": FORGED,
    "cut within": (LOG.successions[0], LOG.successions[2]),
    "cut at its end": LOG.successions[:2],
    "cut at its beginning": LOG.successions[1:],
    "reordered": (LOG.successions[1], LOG.successions[0], LOG.successions[2]),
    "none": (),
}


@pytest.fixture(params=BROKEN.values(), ids=BROKEN)
def broken(request) -> SmallLog:
    """The same log with a chain that does not lead from the first key to the last."""
    return dataclasses.replace(LOG, successions=request.param)


@pytest.fixture
def serve(monkeypatch):
    def serve(log, module):
        return in_place_of(monkeypatch, LogVault(log), module)

    return serve


@pytest.mark.parametrize("signer", SIGNERS)
def test_an_export_from_any_of_its_keys(signer):
    assert verify_export(LOG.export(), [signer.key]).is_sound


def test_an_export_from_a_stranger_is_refused():
    assert Damage.BAD_SIGNATURE is verify_export(LOG.export(), [Signer(seed=9).key]).damage


def test_an_export_with_a_broken_chain_is_refused(broken):
    assert Damage.BAD_SIGNATURE is verify_export(broken.export(), [FIRST]).damage


def test_a_checkpoint_of_the_first_key_still_verifies_beside_the_chain():
    log = SmallLog.of(COUNT)
    old = log.note()
    log.succeed(SIGNERS[1])
    assert verify_export(log.export(note=old), [FIRST]).is_sound


def test_a_manifest_of_version_1_has_no_chain():
    line = LOG.export()[0].replace(b"export/2", b"export/1")
    with pytest.raises(ExportFormatError):
        parse_manifest(line)


def test_verify_knows_the_keys_of_older_checkpoints(tmp_path):
    """One kept from the second key's time, an export of the fourth's, trust in the first."""
    log = SmallLog.of(COUNT)
    log.succeed(SIGNERS[1])
    kept = tmp_path / "kept"
    kept.write_bytes(bytes(log.note(200)))
    for signer in SIGNERS[2:]:
        log.succeed(signer)
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(log.export()))
    options = ["--key", str(FIRST), "--since-checkpoint", str(kept)]
    assert 0 == main(["audit", "verify", str(path), *options])


def test_json_lines(serve, tmp_path):
    path = tmp_path / "log.jsonl"
    with serve(LOG, "audit_export"):
        assert 0 == main(["audit", "export", str(path), "--key", str(FIRST)])
    assert 0 == main(["audit", "verify", str(path), "--key", str(FIRST)])
    assert (
        LOG.successions == parse_manifest(path.read_bytes().partition(b"\n")[0] + b"\n").successions
    )


@pytest.mark.parametrize("form", ["csv", "ocsf"])
def test_tables(serve, tmp_path, form):
    path = tmp_path / "log"
    with serve(LOG, "audit_export"):
        options = ["--format", form, "--key", str(FIRST)]
        assert 0 == main(["audit", "export", str(path), *options])
        manifest = json.loads((tmp_path / "log.manifest.json").read_text())
    assert list(LOG.successions) == manifest["successions"]


def test_tiles(serve, tmp_path):
    folder = tmp_path / "tiles"
    with serve(LOG, "audit_export"):
        options = ["--format", "tiles", "--key", str(FIRST)]
        assert 0 == main(["audit", "export", str(folder), *options])
    report = verify_archive(folder, [FIRST])
    assert (True, ()) == (report.is_sound, report.strangers)
    assert LOG.successions == read_chain((folder / SUCCESSIONS).read_bytes())
    for chain in BROKEN.values():
        (folder / SUCCESSIONS).write_bytes(write_chain(chain))
        assert not verify_archive(folder, [FIRST]).is_sound
    (folder / SUCCESSIONS).write_bytes(b"{}")
    assert not verify_archive(folder, [FIRST]).is_sound
    assert verify_archive(folder, [SIGNERS[-1].key]).checkpoint is None, "damage is told to all"


def record(log: SmallLog) -> bytes:
    source = tile_source(log.tiles().__getitem__, COUNT)
    proof = tuple(build_proof(inclusion_plan(5, COUNT), source))
    return AccessRecord(
        subject_id=decode(log.entries[5]).subject_id,
        checkpoint=bytes(log.note()).decode(),
        entries=(ProvedEntry(5, log.entries[5], proof),),
        successions=log.successions,
    ).document()


def test_access_records(broken):
    assert 1 == len(check_record(record(LOG), [FIRST]).entries)
    with pytest.raises(AccessRecordError, match="the checkpoint is not to be trusted"):
        check_record(record(broken), [FIRST])


def test_commands_that_ask_the_vault(serve, broken, capsys):
    entry = f"{(0x019A << 112) | (7 << 76) | (2 << 62) | 7:032x}"
    key = ["--key", str(FIRST)]
    commands = (["checkpoint"], ["prove", entry], ["prove", "--consistency", "100"])
    with serve(LOG, "audit_proofs"):
        assert [0, 0, 0] == [main(["audit", *command, *key]) for command in commands]
        assert 0 == main(["audit", "checkpoint", *key, "--json"])
        *_, last = capsys.readouterr().out.splitlines()
        assert list(LOG.successions) == json.loads(last)["successions"]
    with serve(broken, "audit_proofs"):
        assert [1, 1, 1] == [main(["audit", *command, *key]) for command in commands]
    assert "not to be trusted" in capsys.readouterr().err
