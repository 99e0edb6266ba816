"""`audit verify`, `verify-record`, `checkpoint` and `prove`: exit codes and words."""

import base64
import json

import pytest

from tests.support.log_vault import LogVault, in_place_of
from tests.support.small_log import Signer, SmallLog
from vault.audit.note import KeyType
from vault.cli.main import main

COUNT = 300
LOG = SmallLog.of(COUNT)
LINES = LOG.export()
KEY = str(LOG.signer.key)
ENTRY = f"{(0x019A << 112) | (7 << 76) | (2 << 62) | 7:032x}"


@pytest.fixture
def export(tmp_path):
    """Writes lines to a file."""

    def write(lines=LINES):
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"".join(lines))
        return str(path)

    return write


@pytest.fixture
def vault(monkeypatch):
    with in_place_of(monkeypatch, LogVault(LOG), "audit_proofs") as vault:
        yield vault


def test_a_sound_export(capsys, export, tmp_path):
    keys = tmp_path / "audit.vkey"
    keys.write_text(f"{Signer(seed=9).key}\n{KEY}\n")
    kept = tmp_path / "kept"
    kept.write_bytes(bytes(LOG.note(200)))
    path = export()
    assert 0 == main(["audit", "verify", path, "--key", KEY])
    assert capsys.readouterr().out.startswith("sound: 300 leaves from index 0; log pdvault.")
    options = ["--since-checkpoint", str(kept), "--json"]
    assert 0 == main(["audit", "verify", path, "--key", str(keys), *options])
    found = json.loads(capsys.readouterr().out)
    assert (True, [], 300, LOG.checkpoint().root.hex()) == (
        found["sound"],
        found["findings"],
        found["checked"],
        found["root"],
    )


def flipped(at):
    lines = [*LINES]
    place = next(i for i, line in enumerate(lines) if line.startswith(b'{"i":%d,' % at))
    index, entry = lines[place].split(b'"e":"')
    data = bytearray(base64.b64decode(entry[:-3]))
    data[-1] ^= 1
    lines[place] = index + b'"e":"' + base64.b64encode(data) + b'"}\n'
    return lines


def without(at):
    return [line for line in LINES if not line.startswith(b'{"i":%d,' % at)]


@pytest.mark.parametrize(
    ("lines", "index", "word"),
    [
        (flipped(7), 7, "edited"),
        (flipped(299), 299, "edited"),
        (without(7), 7, "dropped"),
        (LINES[:-2], 299, "cut"),
        ([*LINES[:1], *LINES[2:]], 0, "dropped"),
        ([*LINES[:-1], LINES[-2], LINES[-1]], 300, "inserted"),
        (LINES[1:], None, "malformed"),
    ],
    ids=["flip", "flip last", "drop", "cut", "no hash line", "twice", "no manifest"],
)
def test_damage_is_1_and_named_in_plain_words(capsys, export, lines, index, word):
    path = export(lines)
    assert 1 == main(["audit", "verify", path, "--key", KEY])
    out = capsys.readouterr().out
    assert f": {word}" in out
    if index is not None:
        assert f" {index}" in out.splitlines()[0]
    assert 1 == main(["audit", "verify", path, "--key", KEY, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (False, index) == (found["sound"], found["first_index"])
    assert found["damage"].startswith(word)


def test_another_key_a_fork_and_a_rollback(capsys, export, tmp_path):
    path = export()
    assert 1 == main(["audit", "verify", path, "--key", str(Signer(seed=2).key)])
    assert "not signed as it must be" in capsys.readouterr().out
    kept = tmp_path / "kept"
    for log, word in ((SmallLog.of(200, "after_sales"), "forked"), (SmallLog.of(301), "rolled")):
        kept.write_bytes(bytes(log.note()))
        options = ["--key", KEY, "--since-checkpoint", str(kept)]
        assert 1 == main(["audit", "verify", path, *options])
        assert word in capsys.readouterr().out


def test_a_part_needs_to_be_asked_for(capsys, export):
    path = export(LOG.export(100, 200))
    assert 1 == main(["audit", "verify", path, "--key", KEY])
    assert 0 == main(["audit", "verify", path, "--key", KEY, "--part"])
    assert "100 leaves from index 100" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["nowhere", "--key", KEY], "nowhere: No such file"),
        (["FILE", "--key", "nowhere"], "--key: neither"),
        (["FILE", "--key", KEY[:-4]], "--key: neither"),
        (["FILE", "--key", KEY, "--since-checkpoint", "nowhere"], "nowhere: No such file"),
        (["FILE", "--key", KEY, "--since-checkpoint", "FILE"], "no empty line"),
    ],
)
def test_what_could_not_be_verified_is_2(capsys, export, argv, text):
    path = export()
    assert 2 == main(["audit", "verify", *[path if each == "FILE" else each for each in argv]])
    out, err = capsys.readouterr()
    assert "" == out
    assert text in err


@pytest.mark.usefixtures("vault")
def test_a_checkpoint_is_printed_as_it_was_signed(capsys):
    assert 0 == main(["audit", "checkpoint", "--key", KEY])
    out, err = capsys.readouterr()
    assert (bytes(LOG.note()).decode(), "") == (out, err)
    assert 0 == main(["audit", "checkpoint", "--json"])
    out, err = capsys.readouterr()
    assert (COUNT, False) == (json.loads(out)["size"], json.loads(out)["verified"])
    assert "the vault names itself" in err
    assert 1 == main(["audit", "checkpoint", "--key", str(Signer(seed=2).key)])


def test_an_entry_is_proved_here(capsys, vault):
    assert 0 == main(["audit", "prove", ENTRY, "--key", KEY])
    assert "at index 7 of the log" in capsys.readouterr().out
    vault.hashes[7] = bytes(32)
    assert 1 == main(["audit", "prove", ENTRY, "--key", KEY])
    assert "does not hold" in capsys.readouterr().err
    vault.size = 7
    assert 1 == main(["audit", "prove", ENTRY, "--key", KEY])
    assert "no such entry" in capsys.readouterr().err


def test_growth_is_proved_here(capsys, vault, tmp_path):
    kept = tmp_path / "kept"
    kept.write_bytes(bytes(LOG.note(200)))
    for sizes in ([str(kept)], ["200"], ["200", "250"], ["200", "200"]):
        assert 0 == main(["audit", "prove", "--consistency", *sizes, "--key", KEY])
        assert "begins with the one of 200 leaves" in capsys.readouterr().out
    kept.write_bytes(bytes(SmallLog.of(200, "after_sales").note()))
    assert 1 == main(["audit", "prove", "--consistency", str(kept), "--key", KEY])
    assert "not the same log" in capsys.readouterr().err
    assert 1 == main(["audit", "prove", "--consistency", "250", "200", "--key", KEY])
    assert 2 == main(["audit", "prove", "--consistency", "1", "2", "3", "--key", KEY])
    assert 2 == main(["audit", "prove", "no-hex", "--key", KEY])


# --- Witnesses ------------------------------------------------------------------------------

W1, W2, W3 = (
    Signer(f"witness.example/w{number}", KeyType.COSIGNATURE, 40 + number) for number in (1, 2, 3)
)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0),
        (("--witness-quorum", "2"), 0),
        (("--witness-quorum", "3"), 1),
        (("--witness-quorum", "1"), 0),
        (("--witness-quorum", "4"), 2),
    ],
)
def test_a_quorum_of_witnesses_is_demanded(capsys, export, tmp_path, options, code):
    """Two of three cosigned."""
    note = LOG.note(cosigners=((W1, 1_700_000_000), (W2, 1_700_000_001)))
    path = export(LOG.export(note=note))
    keys = tmp_path / "witnesses"
    named = (W1, W2, W3) if options else (W1, W2)
    keys.write_text("".join(f"{one.key}\n" for one in named))
    command = ["audit", "verify", path, "--key", KEY, "--witness-key", str(keys), *options]
    assert code == main(command)
    out, err = capsys.readouterr()
    words = {0: "sound: 300", 1: "2 of 3 needed witnesses", 2: "there are only 3 keys"}
    assert words[code] in out + err


def test_a_checkpoint_without_cosignatures_is_not_enough(capsys, vault):
    command = ["audit", "checkpoint", "--address", "x:1", "--client", "x", "--key", KEY]
    assert 0 == main(command)
    assert 1 == main([*command, "--witness-key", str(W1.key)])
    assert "0 of 1 needed witnesses" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--witness-key", str(W1.key)), "needs --key"),
        (("--key", KEY, "--witness-quorum", "1"), "needs --witness-key"),
        (("--key", KEY, "--witness-key", KEY), "not a key of cosignatures"),
        (("--key", KEY, "--witness-key", "nonsense"), "--witness-key: neither a file"),
    ],
)
def test_options_of_witnesses_that_do_not_fit(capsys, vault, options, word):
    assert 2 == main(["audit", "checkpoint", "--address", "x:1", "--client", "x", *options])
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("what", [(ENTRY,), ("--consistency", "200")], ids=["entry", "growth"])
def test_proofs_lead_to_a_checkpoint_that_witnesses_cosigned(capsys, vault, what):
    command = ["audit", "prove", *what, "--key", KEY]
    assert 0 == main(command)
    assert 1 == main([*command, "--witness-key", str(W1.key)])
    assert "0 of 1 needed witnesses" in capsys.readouterr().err
    vault.cosigners = ((W1, 1_700_000_000),)
    assert 0 == main([*command, "--witness-key", str(W1.key)])
    assert 1 == main([*command, "--witness-key", str(W2.key)])
