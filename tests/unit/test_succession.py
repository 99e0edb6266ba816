"""Key successions: one spelling, signed by the old key, followed forward only, or refused."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.small_log import ORIGIN, Signer
from vault.audit.checkpoint import parse_body
from vault.audit.note import KeyType, Note, NoteError, SignatureError, parse_note
from vault.audit.succession import (
    HEAD,
    Succession,
    SuccessionError,
    follow,
    open_succession,
    read_chain,
    signing_key,
    write_chain,
)

SIGNERS = [Signer(seed=seed) for seed in range(1, 6)]
KEYS = [signer.key for signer in SIGNERS]


def succession(old: Signer, new: Signer) -> str:
    text = Succession(old.key, new.key).text()
    return bytes(Note(text, (old.sign(text),))).decode()


CHAIN = [succession(old, new) for old, new in itertools.pairwise(SIGNERS)]


def test_the_text_names_the_log_and_both_keys():
    text = parse_note(CHAIN[0].encode()).text
    assert f"{HEAD}\n{ORIGIN}\n{KEYS[0]}\n{KEYS[1]}\n" == text
    assert Succession(KEYS[0], KEYS[1]) == open_succession(CHAIN[0].encode())


def test_it_is_no_checkpoint_and_a_checkpoint_is_none():
    with pytest.raises(NoteError):
        parse_body(parse_note(CHAIN[0].encode()).text)
    body = f"{ORIGIN}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    with pytest.raises(NoteError, match="not a key succession"):
        open_succession(bytes(Note(body, (SIGNERS[0].sign(body),))))


@pytest.mark.parametrize("first", range(5))
def test_from_any_key_the_later_ones_are_reached_and_no_earlier_one(first):
    assert KEYS[first:] == follow([KEYS[first]], CHAIN, origin=ORIGIN)


def test_a_key_that_is_not_in_the_chain_leads_nowhere():
    stranger = Signer(seed=99).key
    assert [stranger] == follow([stranger], CHAIN)


def test_a_forged_step_is_refused():
    """Signed by another than the old key, or by it over another text."""
    text = Succession(KEYS[0], KEYS[1]).text()
    forged = bytes(Note(text, (SIGNERS[2].sign(text),))).decode()
    with pytest.raises(SignatureError):
        follow([KEYS[0]], [forged])
    text = Succession(KEYS[0], KEYS[3]).text()
    moved = bytes(Note(text, parse_note(CHAIN[0].encode()).signatures)).decode()
    with pytest.raises(SignatureError):
        follow([KEYS[0]], [moved])


@pytest.mark.parametrize(
    "chain",
    [
        [*CHAIN[:1], *CHAIN[2:]],
        [CHAIN[1], CHAIN[0], *CHAIN[2:]],
        [CHAIN[0], *CHAIN],
        list(reversed(CHAIN)),
        [*CHAIN, succession(SIGNERS[4], SIGNERS[0])],
    ],
    ids=["cut", "reordered", "doubled", "backwards", "circle"],
)
def test_a_chain_that_is_none_is_refused(chain):
    with pytest.raises(SuccessionError):
        follow([KEYS[0]], chain)


def test_an_end_that_is_cut_off_reaches_less():
    assert KEYS[:3] == follow([KEYS[0]], CHAIN[:2])


def test_another_logs_chain_is_refused():
    others = [Signer("other/log", seed=seed) for seed in (1, 2)]
    with pytest.raises(SuccessionError, match="another log"):
        follow([KEYS[0]], [succession(*others)])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SIGNERS[0], SIGNERS[0]),
        (SIGNERS[0], Signer("other/log", seed=2)),
        (SIGNERS[0], Signer(type=KeyType.COSIGNATURE, seed=2)),
    ],
    ids=["itself", "another log's", "a witness's"],
)
def test_a_step_is_of_two_signing_keys_of_one_log(old, new):
    with pytest.raises(NoteError):
        Succession(old.key, new.key)


@given(st.data())
def test_no_changed_byte_passes(data):
    note = CHAIN[0].encode()
    at = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != note[at]))
    with pytest.raises(NoteError):
        open_succession(note[:at] + bytes([other]) + note[at + 1 :])


def test_which_of_some_keys_signed():
    body = "a\n"
    note = bytes(Note(body, (SIGNERS[1].sign(body), SIGNERS[0].sign(body))))
    assert KEYS[0] == signing_key(note, KEYS)
    assert KEYS[1] == signing_key(note, KEYS[1:])
    assert signing_key(note, KEYS[2:]) is None


def test_a_chain_in_a_file():
    assert tuple(CHAIN) == read_chain(write_chain(CHAIN))
    for data in (b"", b"[]", b"{}\n", b'["a",1]\n', write_chain(CHAIN) + b"\n"):
        with pytest.raises(NoteError):
            read_chain(data)
