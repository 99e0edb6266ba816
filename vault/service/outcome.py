"""What a write answered, as bytes, so that a retry gets the same answer.

docs/formats.md, "write outcome": a version byte, then for each subject its number of
items, then each item. It holds tokens and reasons, no values.
"""

import struct
from collections.abc import Sequence

from vault.errors import Reason, VaultError
from vault.model import Refusal, Verdict
from vault.service.call import Issued

_VERSION = 1
_COUNT = struct.Struct(">H")
_ITEM = struct.Struct(">BHH")  # verdict, reason, length of the text


def pack_outcome(subjects: Sequence[Sequence[Issued | Refusal]]) -> bytes:
    """Writes an outcome."""
    parts = [bytes([_VERSION]), _COUNT.pack(len(subjects))]
    for results in subjects:
        parts.append(_COUNT.pack(len(results)))
        for result in results:
            if isinstance(result, Issued):
                verdict, reason, text = Verdict.ALLOWED, Reason.NONE, result.token
            else:
                verdict, reason, text = result.verdict, result.reason, result.detail
            data = text.encode()
            parts += [_ITEM.pack(verdict, reason, len(data)), data]
    return b"".join(parts)


def unpack_outcome(data: bytes) -> list[list[Issued | Refusal]]:
    """Reads an outcome.

    Raises:
        VaultError: INTERNAL, the bytes are not an outcome of this version.
    """
    try:
        subjects, end = _unpack(data)
    except (struct.error, IndexError, ValueError) as error:
        raise VaultError(Reason.INTERNAL, "a stored outcome can't be read") from error
    if end != len(data):
        raise VaultError(Reason.INTERNAL, "a stored outcome can't be read")
    return subjects


def _unpack(data: bytes) -> tuple[list[list[Issued | Refusal]], int]:
    if data[0] != _VERSION:
        raise ValueError("unknown version")
    subjects: list[list[Issued | Refusal]] = []
    (count,) = _COUNT.unpack_from(data, 1)
    offset = 1 + _COUNT.size
    for _ in range(count):
        (items,) = _COUNT.unpack_from(data, offset)
        offset += _COUNT.size
        results: list[Issued | Refusal] = []
        for _ in range(items):
            verdict, reason, length = _ITEM.unpack_from(data, offset)
            offset += _ITEM.size
            text = data[offset : offset + length].decode()
            offset += length
            if verdict == Verdict.ALLOWED:
                results.append(Issued(text))
            else:
                results.append(Refusal(Verdict(verdict), Reason(reason), text))
        subjects.append(results)
    return subjects, offset
