"""The outer format of a backup: a header in clear and sealed chunks. Pure.

    "pdvault-backup/1" | header length (4) | header | chunk*      chunk: ciphertext | tag (16)

Guarantees: whatever comes out was sealed in this very place of this very backup; a bit that was
flipped, a chunk that was cut, moved, doubled or taken from another backup, and anything
after the end, are found, the last at the end: whoever reads must not act on what came
out before all did. Leaves to others: the data key (Transit wraps it) and what is inside
(`contents`). docs/formats.md, "Backup", has the byte table.
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from vault.crypto.aead import DecryptError, StreamOpener, StreamSealer

MAGIC = b"pdvault-backup/1"
CHUNK_BYTES = 1 << 18
"""Of plain text. The last chunk is shorter or as long, and empty only when it is the first."""
_TAG_BYTES = 16
_MAX_HEADER = 1 << 14
_LENGTH_BYTES = 4
_MEMBERS = ("backup_id", "begun_at", "commitment", "key_salt", "transit_key", "wrapped")
_HEX32 = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_WRAPPED = re.compile(r"vault:v[1-9][0-9]{0,8}:[A-Za-z0-9+/]+={0,2}")
_TIME = "%Y-%m-%dT%H:%M:%SZ"

Read = Callable[[int], bytes]
"""So many bytes; fewer at the end of the file only."""


class BackupError(Exception):
    """The file is no backup, was cut or changed, or this key does not open it."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands in clear.

    Attributes:
        begun_at: to the second, UTC.
        transit_key: name of the key that wraps the data key.
        wrapped: the data key, `vault:vN:...`.
        key_salt, commitment: 32 bytes each.
    """

    backup_id: UUID
    begun_at: dt.datetime
    transit_key: str
    wrapped: str
    key_salt: bytes
    commitment: bytes

    def encode(self) -> bytes:
        """All bytes before the first chunk."""
        document = {
            "backup_id": self.backup_id.hex,
            "begun_at": self.begun_at.strftime(_TIME),
            "commitment": self.commitment.hex(),
            "key_salt": self.key_salt.hex(),
            "transit_key": self.transit_key,
            "wrapped": self.wrapped,
        }
        text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        return MAGIC + len(text).to_bytes(_LENGTH_BYTES, "big") + text


def read_header(read: Read) -> Header:
    """The header, in its one spelling.

    Raises:
        BackupError: it is none.
    """
    if read(len(MAGIC)) != MAGIC:
        raise BackupError("this is no backup of pdvault, or one of another version")
    length = int.from_bytes(read(_LENGTH_BYTES), "big")
    text = read(length) if length <= _MAX_HEADER else b""
    try:
        header = _header(json.loads(text)) if text else None
    except (ValueError, TypeError, RecursionError):
        header = None
    if header is None or header.encode()[len(MAGIC) + _LENGTH_BYTES :] != text:
        raise BackupError("the header is damaged")
    return header


def _header(document: object) -> Header | None:
    if not isinstance(document, dict) or tuple(document) != _MEMBERS:
        return None
    backup_id, begun_at, commitment, key_salt, transit_key, wrapped = (
        str(value) for value in document.values()
    )
    if not (
        _HEX32.fullmatch(commitment)
        and _HEX32.fullmatch(key_salt)
        and _KEY.fullmatch(transit_key)
        and _WRAPPED.fullmatch(wrapped)
    ):
        return None
    moment = dt.datetime.strptime(begun_at, _TIME).replace(tzinfo=dt.UTC)
    return Header(
        UUID(hex=backup_id),
        moment,
        transit_key,
        wrapped,
        bytes.fromhex(key_salt),
        bytes.fromhex(commitment),
    )


class BackupSealer:
    """Turns plain bytes into the bytes of a backup, in order."""

    def __init__(
        self,
        *,
        backup_id: UUID,
        begun_at: dt.datetime,
        transit_key: str,
        wrapped: str,
        data_key: bytes,
        key_salt: bytes,
    ) -> None:
        """Begin.

        Args:
            backup_id: random.
            begun_at: to the second.
            transit_key: what wrapped the data key.
            wrapped: the data key, wrapped.
            data_key: from `new_data_key`, used for nothing else.
            key_salt: beside it.

        Raises:
            ValueError: key or salt is not 32 bytes.
        """
        self._stream = StreamSealer(data_key, key_salt)
        self.header = Header(
            backup_id, begun_at, transit_key, wrapped, key_salt, self._stream.commitment
        )
        self._preamble = self.header.encode()
        self._aad = hashlib.sha256(self._preamble).digest()
        self._rest = bytearray()

    @property
    def preamble(self) -> bytes:
        """What comes before the first chunk."""
        return self._preamble

    def add(self, data: bytes) -> Iterator[bytes]:
        """Sealed chunks that have become full; the newest bytes wait, as they may be the last."""
        self._rest += data
        start = 0
        while len(self._rest) - start > CHUNK_BYTES:
            chunk = bytes(self._rest[start : start + CHUNK_BYTES])
            start += CHUNK_BYTES
            yield self._stream.seal(chunk, self._aad, is_last=False)
        del self._rest[:start]

    def finish(self) -> bytes:
        """The last chunk."""
        return self._stream.seal(bytes(self._rest), self._aad, is_last=True)


def open_chunks(read: Read, header: Header, data_key: bytes) -> Iterator[bytes]:
    """The plain bytes, chunk by chunk. Only after the last one is it sure that nothing is missing.

    Args:
        read: stands behind the header.
        header: as it was read.
        data_key: as Transit unwrapped it.

    Raises:
        BackupError: the key is another, or the file was changed or cut.
    """
    try:
        stream = StreamOpener.check(
            data_key, key_salt=header.key_salt, commitment=header.commitment
        )
    except DecryptError as error:
        raise BackupError("the key is not this backup's") from error
    aad = hashlib.sha256(header.encode()).digest()
    number = 0
    sealed = read(CHUNK_BYTES + _TAG_BYTES)
    while True:
        following = read(CHUNK_BYTES + _TAG_BYTES)
        is_last = not following
        try:
            chunk = stream.open(sealed, aad, is_last=is_last)
        except (DecryptError, ValueError) as error:
            raise BackupError(_damage(number, is_last=is_last)) from error
        if is_last and number and not chunk:
            raise BackupError(_damage(number, is_last=True))
        yield chunk
        if is_last:
            return
        sealed, number = following, number + 1


def _damage(number: int, *, is_last: bool) -> str:
    where = f"byte {number * (CHUNK_BYTES + _TAG_BYTES):,} of the sealed part"
    kind = "was cut or changed" if is_last else "was changed"
    return f"the backup {kind}: chunk {number + 1}, at {where}, does not open"
