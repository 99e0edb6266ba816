"""Checkpoints: the specification's example, one test for each malformed field, and who signed."""

import base64

import pytest

from tests.support.small_log import ORIGIN, Signer, SmallLog
from vault.audit.checkpoint import Checkpoint, open_checkpoint, parse_body
from vault.audit.merkle import EMPTY_ROOT
from vault.audit.note import KeyType, Note, NoteError, SignatureError, parse_note

# C2SP tlog-cosignature: a checkpoint with a witness's cosignature.
EXAMPLE = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5"
    "/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dl"
    "rDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
ROOT = base64.b64encode(bytes(range(32))).decode()
LOG = SmallLog.of(3)
WITNESSES = [
    Signer(f"witness.example/{number}", KeyType.COSIGNATURE, seed=number + 10)
    for number in range(3)
]
TIME = 1_700_000_000


def opened(note, **options):
    return open_checkpoint(bytes(note), LOG.keys, **options)


def test_the_specifications_example():
    note = parse_note(EXAMPLE.encode())
    assert EXAMPLE.encode() == bytes(note)
    checkpoint = parse_body(note.text)
    assert ("example.com/behind-the-sofa", 20852163) == (checkpoint.origin, checkpoint.size)
    assert note.text == checkpoint.body()
    assert [68, 76] == [4 + len(line.signature) for line in note.signatures]


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint(ORIGIN, 0, EMPTY_ROOT),
        Checkpoint(ORIGIN, 1, bytes(32)),
        Checkpoint("a log with spaces + é", (1 << 63) - 1, bytes(32), ("one", " two")),
    ],
)
def test_round_trip(checkpoint):
    assert checkpoint == parse_body(checkpoint.body())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(f"o\n5\n{ROOT}", id="last line does not end"),
        pytest.param("o\n5\n", id="no root"),
        pytest.param(f"\n5\n{ROOT}\n", id="no origin"),
        pytest.param(f"o\n\n{ROOT}\n", id="no size"),
        pytest.param(f"o\n05\n{ROOT}\n", id="leading zero"),
        pytest.param(f"o\n00\n{ROOT}\n", id="zero twice"),
        pytest.param(f"o\n-5\n{ROOT}\n", id="negative"),
        pytest.param(f"o\n+5\n{ROOT}\n", id="plus sign"),
        pytest.param(f"o\n5 \n{ROOT}\n", id="space after the size"),
        pytest.param(f"o\n5_0\n{ROOT}\n", id="underscore in the size"),
        pytest.param(f"o\n0x5\n{ROOT}\n", id="hexadecimal"),
        pytest.param(f"o\n5.0\n{ROOT}\n", id="point"),
        pytest.param(f"o\n\u0665\n{ROOT}\n", id="Arabic digit"),
        pytest.param(f"o\n{1 << 63}\n{ROOT}\n", id="size of 2^63"),
        pytest.param(f"o\n{'9' * 400_000}\n{ROOT}\n", id="size of many digits"),
        pytest.param(f"o\n5\n{ROOT[:-1]}\n", id="root without padding"),
        pytest.param(f"o\n5\n{ROOT[:-4]}\n", id="root too short"),
        pytest.param(f"o\n5\nAAAA{ROOT}\n", id="root too long"),
        pytest.param(f"o\n5\n{ROOT} \n", id="space after the root"),
        pytest.param(f"o\n5\n{bytes(32).hex()}\n", id="root in hex"),
        pytest.param("o\n5\n\n", id="empty root"),
        pytest.param(f"o\n5\n{ROOT}\n\n", id="empty extension"),
        pytest.param(f"o\n5\n{ROOT}\nx\n\ny\n", id="empty extension between"),
        pytest.param(f"o\n0\n{ROOT}\n", id="empty tree with a root"),
        pytest.param(f"o\n1\n{base64.b64encode(EMPTY_ROOT).decode()}\n", id="leaves, empty root"),
    ],
)
def test_malformed(text):
    with pytest.raises(NoteError):
        parse_body(text)


@pytest.mark.parametrize(
    "parts",
    [
        {"origin": ""},
        {"origin": "a\nb"},
        {"size": -1},
        {"size": 1 << 63},
        {"size": 0},
        {"root": bytes(31)},
        {"root": EMPTY_ROOT},
        {"extensions": ("",)},
        {"extensions": ("a\nb",)},
    ],
)
def test_a_writer_can_not_make_a_malformed_one(parts):
    with pytest.raises(NoteError):
        Checkpoint(**{"origin": ORIGIN, "size": 5, "root": bytes(32), **parts})


def test_opened():
    signed = opened(LOG.note(), origin=ORIGIN)
    assert LOG.checkpoint() == signed.checkpoint
    assert [LOG.signer.key] == [one.key for one in signed.logs]
    assert () == signed.witnesses


def test_another_logs_checkpoint_is_refused():
    with pytest.raises(NoteError, match="another log"):
        opened(LOG.note(), origin="other.example")


def test_a_signed_text_that_is_no_checkpoint_is_refused():
    text = "hello\n"
    with pytest.raises(NoteError, match="three lines"):
        opened(Note(text, (LOG.signer.sign(text),)))


@pytest.mark.parametrize("count", range(4))
def test_quorum(count):
    """As many different witnesses as asked for, no fewer."""
    keys = [one.key for one in WITNESSES]
    note = LOG.note(cosigners=[(one, TIME) for one in WITNESSES[:count]])
    assert count == len(opened(note, witnesses=keys, quorum=count).witnesses)
    if count < 3:
        with pytest.raises(SignatureError, match=f"{count} of {count + 1}"):
            opened(note, witnesses=keys, quorum=count + 1)


def test_one_witness_counts_once():
    """However often it signed, and under however many names its key is known."""
    twin = Signer("twin.example", KeyType.COSIGNATURE, WITNESSES[0].seed)
    note = LOG.note(cosigners=[(WITNESSES[0], TIME), (WITNESSES[0], TIME + 1), (twin, TIME)])
    keys = [WITNESSES[0].key, twin.key, WITNESSES[1].key]
    with pytest.raises(SignatureError):
        opened(note, witnesses=keys, quorum=2)


def test_witnesses_alone_are_not_enough():
    body = LOG.checkpoint().body()
    note = Note(body, (WITNESSES[0].sign(body, TIME),))
    with pytest.raises(SignatureError, match="no trusted log key"):
        opened(note, witnesses=[WITNESSES[0].key], quorum=1)


def test_a_key_that_is_being_replaced():
    """Both keys, the old one alone, the new one alone; not a bad signature of either."""
    new = Signer(seed=7)
    body = LOG.checkpoint().body()
    lines = (LOG.signer.sign(body), new.sign(body))
    for chosen in (lines, lines[:1], lines[1:]):
        open_checkpoint(bytes(Note(body, chosen)), [LOG.signer.key, new.key])
    bad = Note(body, (lines[0], new.sign("other\n")))
    open_checkpoint(bytes(bad), [LOG.signer.key])
    with pytest.raises(SignatureError):
        open_checkpoint(bytes(bad), [LOG.signer.key, new.key])


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ([], {}),
        ([WITNESSES[0].key], {}),
        (LOG.keys, {"witnesses": LOG.keys}),
        (LOG.keys, {"quorum": 1}),
        (LOG.keys, {"witnesses": [WITNESSES[0].key] * 2, "quorum": 2}),
        (LOG.keys, {"quorum": -1}),
    ],
)
def test_keys_that_do_not_fit_are_the_callers_fault(keys, options):
    with pytest.raises(ValueError, match=r"key|quorum") as caught:
        open_checkpoint(bytes(LOG.note()), keys, **options)
    assert not isinstance(caught.value, NoteError)
