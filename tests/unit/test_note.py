"""Signed notes: the specification's example, and one test for each way to be malformed."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.small_log import Signer
from vault.audit.note import (
    MAX_NOTE,
    MAX_SIGNATURES,
    KeyFormatError,
    KeyType,
    Note,
    NoteError,
    SignatureError,
    SignatureLine,
    VerifierKey,
    base64_bytes,
    check_note,
    parse_note,
    signature_line,
    signed_bytes,
)

# C2SP signed-note, "Note": the example with its two-paragraph text.
EXAMPLE = (
    "Ognuno sta solo sul cuor della terra\n"
    "trafitto da un raggio di sole:\n"
    "\n"
    "ed è subito sera.\n"
    "\n"
    "\u2014 quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+Ehf"
    "LW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)
LOG = Signer("log.example")
WITNESS = Signer("witness.example/w1", KeyType.COSIGNATURE, seed=2)
TEXT = "one\ntwo\n"


def note(*lines, text=TEXT):
    return Note(text, lines or (LOG.sign(text),))


def test_the_specifications_example():
    read = parse_note(EXAMPLE.encode())
    assert EXAMPLE.encode() == bytes(read)
    assert read.text.endswith("\n\ned è subito sera.\n")
    (line,) = read.signatures
    assert "quasimodo.example/salvatore" == line.name
    assert bytes.fromhex("367ba04b") == line.key_id
    assert 64 == len(line.signature)
    with pytest.raises(SignatureError, match="no trusted key"):
        check_note(read, [LOG.key])


def test_round_trip():
    read = parse_note(bytes(note()))
    assert note() == read
    (signed,) = check_note(read, [LOG.key])
    assert (LOG.key, None) == (signed.key, signed.timestamp)


SIGNED = bytes(note()).decode()
LINE = str(LOG.sign(TEXT))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("", id="empty"),
        pytest.param(TEXT, id="no signatures"),
        pytest.param(TEXT + "\n", id="empty line and nothing"),
        pytest.param(TEXT + LINE, id="no empty line"),
        pytest.param(SIGNED[:-1], id="last line does not end"),
        pytest.param(SIGNED + "\n", id="an empty line after"),
        pytest.param(SIGNED + "x\n", id="a line that is no signature"),
        pytest.param(SIGNED.replace("\u2014", "-"), id="hyphen for the dash"),
        pytest.param(SIGNED.replace("\u2014 ", "\u2014"), id="no space after the dash"),
        pytest.param(SIGNED.replace("\u2014 ", "\u2014  "), id="two spaces after the dash"),
        pytest.param(SIGNED.replace("log.example", ""), id="empty name"),
        pytest.param(SIGNED.replace("log.example", "a+b"), id="plus in the name"),
        pytest.param(SIGNED.replace("log.example", "a\u00a0b"), id="Unicode space in the name"),
        pytest.param(SIGNED.replace("log.example", "a\u2003b"), id="em space in the name"),
        pytest.param(SIGNED.replace("log.example ", "log.example"), id="no signature on the line"),
        pytest.param(SIGNED[:-1] + " \n", id="space after the signature"),
        pytest.param(SIGNED.replace("=\n", "\n"), id="padding missing"),
        pytest.param(SIGNED[:-2] + "==\n", id="padding too long"),
        pytest.param(SIGNED.replace("\n", "\r\n"), id="carriage returns"),
        pytest.param("\t" + SIGNED, id="tab"),
        pytest.param("\0" + SIGNED, id="zero byte"),
        pytest.param(f"{TEXT}\n\u2014 a {base64.b64encode(b'1234').decode()}\n", id="id only"),
        pytest.param(f"{TEXT}\n\u2014 a AAAAAB==\n", id="set bits behind the last byte"),
        pytest.param(f"{TEXT}\n\u2014 a AAAA-_8=\n", id="URL alphabet"),
        pytest.param(f"{TEXT}\n{LINE * (MAX_SIGNATURES + 1)}", id="too many signatures"),
        pytest.param("x" * MAX_NOTE + SIGNED, id="too long"),
    ],
)
def test_malformed(data):
    with pytest.raises(NoteError):
        parse_note(data.encode())


def test_not_utf_8():
    with pytest.raises(NoteError, match="UTF-8"):
        parse_note(b"\xff" + SIGNED.encode())


def test_the_last_empty_line_parts_text_and_signatures():
    """A signature line inside the text is text."""
    text = f"a\n\n{LINE}"
    read = parse_note(bytes(note(text=text)))
    assert text == read.text
    check_note(read, [LOG.key])


def test_many_signatures_of_unknown_keys_are_passed_over():
    others = [Signer(f"other{number}", seed=number + 9).sign("other\n") for number in range(40)]
    read = parse_note(bytes(note(*others[:20], LOG.sign(TEXT), *others[20:])))
    assert [LOG.key] == [one.key for one in check_note(read, [LOG.key])]


def test_signatures_of_other_types_and_lengths_are_passed_over():
    """Post-quantum ones have kilobytes."""
    long = SignatureLine("pq.example", b"1234", bytes(4700))
    check_note(parse_note(bytes(note(long, LOG.sign(TEXT)))), [LOG.key])


@pytest.mark.parametrize("name", ["log.example", "other.example"])
def test_same_name_or_same_id_alone_is_unknown(name):
    """Only the pair of name and id names a key."""
    other = Signer(name, seed=5).sign(TEXT)
    line = SignatureLine(name, LOG.key.id, bytes(64)) if name != LOG.name else other
    with pytest.raises(SignatureError, match="no trusted key"):
        check_note(note(line), [LOG.key])
    check_note(note(line, LOG.sign(TEXT)), [LOG.key])


@pytest.mark.parametrize("bad", [bytes(64), bytes(63), bytes(65), bytes(1)])
def test_a_known_keys_bad_signature_fails_the_note(bad):
    """Even beside a good one of the same key, and of another."""
    line = SignatureLine(LOG.name, LOG.key.id, bad)
    other = Signer("second.example", seed=3)
    for lines in ([line], [LOG.sign(TEXT), line], [line, LOG.sign(TEXT)], [line, other.sign(TEXT)]):
        with pytest.raises(SignatureError, match=r"log\.example"):
            check_note(note(*lines), [LOG.key, other.key])


def test_a_key_counts_once():
    assert 1 == len(check_note(note(LOG.sign(TEXT), LOG.sign(TEXT)), [LOG.key, LOG.key]))


def test_every_flipped_bit_of_text_or_signature_is_noticed():
    data = bytes(note())
    for at in range(len(data)):
        flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(NoteError):
            check_note(parse_note(flipped), [LOG.key])


def test_cosignature():
    read = parse_note(bytes(note(WITNESS.sign(TEXT, 1_679_315_147))))
    (signed,) = check_note(read, [WITNESS.key])
    assert (WITNESS.key, 1_679_315_147) == (signed.key, signed.timestamp)
    assert b"cosignature/v1\ntime 1679315147\none\ntwo\n" == signed_bytes(TEXT, 1_679_315_147)


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(lambda good: good[8:], id="no time"),
        pytest.param(lambda good: good[:7] + b"\x01" + good[8:], id="another time"),
        pytest.param(lambda good: b"\x80" + good[1:], id="a time beyond 2^63"),
        pytest.param(lambda good: good + b"\0", id="too long"),
        pytest.param(lambda good: good[:5], id="too short"),
    ],
)
def test_bad_cosignatures(signature):
    good = WITNESS.sign(TEXT, 1_679_315_147)
    line = SignatureLine(good.name, good.key_id, signature(good.signature))
    with pytest.raises(SignatureError, match="witness"):
        check_note(note(LOG.sign(TEXT), line), [LOG.key, WITNESS.key])


def test_a_plain_signature_is_no_cosignature():
    """The same key pair under both types: ids differ, and the message does."""
    both = Signer(WITNESS.name, KeyType.ED25519, WITNESS.seed)
    assert both.key.id != WITNESS.key.id
    with pytest.raises(SignatureError, match="no trusted key"):
        check_note(note(both.sign(TEXT)), [WITNESS.key])


@pytest.mark.parametrize(("key", "timestamp", "length"), [
    (LOG.key, 1, 64), (WITNESS.key, None, 64), (LOG.key, None, 63),
])  # fmt: skip
def test_signature_lines_that_do_not_fit(key, timestamp, length):
    with pytest.raises(ValueError, match="does not fit"):
        signature_line(key, bytes(length), timestamp)


def test_verifier_key_of_a_known_log():
    """The Go checksum database's key, as cmd/go carries it."""
    text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    key = VerifierKey.parse(text)
    assert ("sum.golang.org", KeyType.ED25519) == (key.name, key.type)
    assert text == str(key)


@pytest.mark.parametrize("signer", [LOG, WITNESS])
def test_verifier_key_round_trip(signer):
    assert signer.key == VerifierKey.parse(str(signer.key))
    name, key_id, rest = str(signer.key).split("+", 2)
    assert signer.key == VerifierKey.parse(f"{name}+{key_id.upper()}+{rest}")


NAME, ID, KEY = str(LOG.key).split("+", 2)


def encoded(data):
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(f"{NAME}+{ID}", id="no key"),
        pytest.param(f"+{ID}+{KEY}", id="no name"),
        pytest.param(f"a b+{ID}+{KEY}", id="space in the name"),
        pytest.param(f"other+{ID}+{KEY}", id="another name's id"),
        pytest.param(f"{NAME}+00000000+{KEY}", id="wrong id"),
        pytest.param(f"{NAME}+0x{ID[2:]}+{KEY}", id="id not hex"),
        pytest.param(f"{NAME}+{ID}+", id="empty key"),
        pytest.param(f"{NAME}+{ID}+{KEY[:-1]}", id="base64 cut"),
        pytest.param(f"{NAME}+{ID}+{KEY}\n", id="newline after"),
        pytest.param(f"{NAME}+{ID}+{encoded(bytes([1]) + bytes(31))}", id="key too short"),
        pytest.param(f"{NAME}+{ID}+{encoded(bytes([2]) + bytes(32))}", id="unknown type"),
        pytest.param(f"{NAME}+{ID}+{encoded(bytes([6]) + bytes(1312))}", id="ML-DSA"),
    ],
)
def test_malformed_verifier_keys(text):
    with pytest.raises(KeyFormatError):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "text", ["QR==", "QQ", "QQ=", "QQ===", "Q Q=", "QQ==\n", "é", "=", "QQ==QQ=="]
)
def test_base64_has_one_spelling(text):
    with pytest.raises(ValueError, match="base64"):
        base64_bytes(text)


def test_signatures_are_plain_ed25519():
    """So that whatever signs (Transit, OpenSSL, Go) signs the text and nothing around it."""
    raw = Ed25519PrivateKey.from_private_bytes((1).to_bytes(32)).sign(TEXT.encode())
    assert LOG.sign(TEXT) == signature_line(LOG.key, raw)


def test_a_note_signed_by_go():
    """The example of golang.org/x/mod/sumdb/note: signed by a program that is not ours."""
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    data = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXg"
        "KvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    ).encode()
    assert [key] == [one.key for one in check_note(parse_note(data), [key])]
