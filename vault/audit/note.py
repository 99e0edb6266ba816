"""Signed notes (C2SP signed-note v1): text with signature lines, read strictly.

Ed25519 only: plain signatures (type 0x01, a log's) and timestamped cosignatures
(type 0x04, C2SP tlog-cosignature, a witness's). What a note says may be looked at only
after `check_note`; `parse_note` alone proves nothing. Who is trusted is the caller's
matter, and so is every clock.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_NOTE = 1 << 19
"""Bytes; room for a large text and `MAX_SIGNATURES` post-quantum signatures of 5 kB."""
MAX_SIGNATURES = 64
"""The specification asks for at least 16."""
SIGNATURE_SIZE = 64
"""Bytes of an Ed25519 signature (RFC 8032, section 5.1.6)."""
PUBLIC_KEY_SIZE = 32

_DASH = "\u2014 "
_ID_SIZE = 4
_U64 = struct.Struct(">Q")


class NoteError(ValueError):
    """The note is malformed."""


class SignatureError(NoteError):
    """The note is well-formed, but is not signed as it must be."""


class KeyFormatError(ValueError):
    """The text is not a verifier key of a known type."""


class KeyType(IntEnum):
    """Signature types of the specification that are known here."""

    ED25519 = 1
    COSIGNATURE = 4


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A trusted public key under its name.

    Attributes:
        name: not empty, without spaces and plus signs.
        public_key: 32 bytes (RFC 8032).
    """

    name: str
    type: KeyType
    public_key: bytes

    def __post_init__(self) -> None:
        """Raises: KeyFormatError: the name or the length of the key is not allowed."""
        if not _is_key_name(self.name):
            raise KeyFormatError("the key's name is empty or holds a space or a plus sign")
        if len(self.public_key) != PUBLIC_KEY_SIZE:
            raise KeyFormatError("the public key is not 32 bytes")

    @property
    def id(self) -> bytes:
        """The 4 bytes that stand before the key's signatures."""
        named = self.name.encode() + b"\n" + bytes([self.type]) + self.public_key
        return hashlib.sha256(named).digest()[:_ID_SIZE]

    def __str__(self) -> str:
        """`NAME+ID+KEY`: hex of the id, base64 of type and public key."""
        key = base64.b64encode(bytes([self.type]) + self.public_key).decode()
        return f"{self.name}+{self.id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Reads `NAME+ID+KEY`; the hex may be in capitals, as in Go's sumdb/note.

        Raises:
            KeyFormatError: anything else, an unknown type, or an id that is not the key's own.
        """
        parts = text.split("+", 2)
        if len(parts) != 3:  # noqa: PLR2004 - name, id, key
            raise KeyFormatError("a verifier key is NAME+ID+KEY")
        name, key_id, encoded = parts
        try:
            data = base64_bytes(encoded)
        except ValueError as error:
            raise KeyFormatError("the key is not base64") from error
        if not data or data[0] not in tuple(KeyType):
            raise KeyFormatError("the key is of an unknown type")
        key = cls(name, KeyType(data[0]), data[1:])
        if key_id.lower() != key.id.hex():
            raise KeyFormatError("the id is not this key's id")
        return key


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature of a note, not yet checked.

    Attributes:
        key_id: 4 bytes.
        signature: what follows the id; its form depends on the key's type.
    """

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A well-formed note. Its text means nothing before `check_note`.

    Attributes:
        text: ends in a newline, which is part of what is signed.
    """

    text: str
    signatures: tuple[SignatureLine, ...]

    def __bytes__(self) -> bytes:
        """The note as it is stored and sent; the exact inverse of `parse_note`."""
        return f"{self.text}\n{''.join(map(str, self.signatures))}".encode()


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that was verified.

    Attributes:
        timestamp: seconds since 1970 of a cosignature, None for a plain signature.
    """

    key: VerifierKey
    timestamp: int | None


def parse_note(data: bytes) -> Note:
    """Reads a note without checking any signature.

    Raises:
        NoteError: the bytes are not a signed note, or exceed a limit above.
    """
    if len(data) > MAX_NOTE:
        raise NoteError("the note is too long")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise NoteError("the note is not UTF-8") from error
    if any(char < " " and char != "\n" for char in whole):
        raise NoteError("the note holds a control character")
    text, separator, tail = whole.rpartition("\n\n")
    if not separator:
        raise NoteError("no empty line stands before the signatures")
    if not tail.endswith("\n"):
        raise NoteError("the note has no signature, or the last line does not end")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError("the note has too many signatures")
    return Note(text + "\n", tuple(_parse_line(line) for line in lines))


def check_note(note: Note, keys: Sequence[VerifierKey]) -> tuple[Signed, ...]:
    """Verifies the signatures of all known keys and passes over those of others.

    A key counts once, however often it signed. That some key signed at all is
    checked here; that the right ones did is for the caller to see from the answer.

    Raises:
        SignatureError: a known key's signature is bad, or no known key signed.
    """
    known = {(key.name, key.id): key for key in keys}
    signed: dict[VerifierKey, Signed] = {}
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is not None:
            one = _check(key, note.text, line.signature)
            signed.setdefault(key, one)
    if not signed:
        raise SignatureError("no trusted key has signed the note")
    return tuple(signed.values())


def signature_line(
    key: VerifierKey, signature: bytes, timestamp: int | None = None
) -> SignatureLine:
    """The line for a raw Ed25519 signature that was made elsewhere (Transit, a witness).

    Args:
        key: whose signature it is.
        signature: 64 bytes, over `signed_bytes(key.type, text, timestamp)`.
        timestamp: of a cosignature; None for a plain signature.

    Raises:
        ValueError: the signature's length or the timestamp does not fit the key's type.
    """
    if len(signature) != SIGNATURE_SIZE or (key.type is KeyType.COSIGNATURE) != (
        timestamp is not None
    ):
        raise ValueError("the signature does not fit the key's type")
    stamp = b"" if timestamp is None else _U64.pack(timestamp)
    return SignatureLine(key.name, key.id, stamp + signature)


def signed_bytes(text: str, timestamp: int | None = None) -> bytes:
    """What is signed: the text, or for a cosignature its two header lines and the text."""
    head = "" if timestamp is None else f"cosignature/v1\ntime {timestamp}\n"
    return (head + text).encode()


def base64_bytes(text: str) -> bytes:
    """Standard base64 with padding, in its one canonical spelling (RFC 4648, section 4).

    Raises:
        ValueError: anything else.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise ValueError("not base64") from error
    # The decoder lets set bits behind the last byte pass.
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data


def _parse_line(line: str) -> SignatureLine:
    if not line.startswith(_DASH):
        raise NoteError("a signature line does not start with a dash")
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not separator or not _is_key_name(name):
        raise NoteError("a signature line has no allowed key name")
    try:
        data = base64_bytes(encoded)
    except ValueError as error:
        raise NoteError("a signature is not base64") from error
    if len(data) <= _ID_SIZE:
        raise NoteError("a signature is too short")
    return SignatureLine(name, data[:_ID_SIZE], data[_ID_SIZE:])


def _check(key: VerifierKey, text: str, signature: bytes) -> Signed:
    timestamp = None
    raw = signature
    if key.type is KeyType.COSIGNATURE:
        raw = signature[_U64.size :]
    if len(raw) != SIGNATURE_SIZE:
        raise SignatureError(f"the signature of {key.name} has a wrong length")
    if key.type is KeyType.COSIGNATURE:
        (timestamp,) = _U64.unpack_from(signature)
        if timestamp >= 1 << 63:
            raise SignatureError(f"the cosignature of {key.name} has an impossible time")
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(
            raw, signed_bytes(text, timestamp)
        )
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(f"the signature of {key.name} is bad") from error
    return Signed(key, timestamp)


def _is_key_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(map(str.isspace, name))
