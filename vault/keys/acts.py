"""Acts that take two custodians: their canonical bytes, digest and approval statement (pure).

docs/formats.md, "Act request" and "Approval", is the contract. Guarantees: one act has one
spelling, and the reader takes nothing else; two requests that differ in anything have
different digests; what an approver signs can be nothing but an approval, of one request, by
one person, until one time. Leaves to others: who may ask, approve and carry out, and
whether a signature verifies.
"""

import datetime as dt
import enum
import hashlib
import struct
import uuid
from dataclasses import dataclass, field

ACT_VERSION = 1
MAX_VERSION = 0x7FFF_FFFF
"""Versions of a root key are PostgreSQL integers."""
CAUSES = ("rotation", "compromise", "offboarding", "policy_change")
"""Why an act is asked for; a closed list, as the log holds no free text."""

_REQUEST = b"pdvault/act-request/v1\x00"
_APPROVAL = b"pdvault/act-approval/v1\x00"
_IDEMPOTENCY = b"pdvault/act-idempotency/v1\x00"
_DIGEST_BYTES = 32
_MAX_TEXT = 4096
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_TIME = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Retire:
    """Transit refuses root versions below this one."""

    min_decryption_version: int


@dataclass(frozen=True, slots=True)
class Trim:
    """Transit deletes root versions below this one."""

    min_available_version: int


@dataclass(frozen=True, slots=True)
class Destroy:
    """The tenant's root key goes, with all its versions."""

    tenant: str


@dataclass(frozen=True, slots=True)
class Widen:
    """The policy bundle of this digest (32 bytes) may come into force."""

    bundle_digest: bytes


Act = Retire | Trim | Destroy | Widen

_RETIRE, _TRIM, _DESTROY, _WIDEN = 1, 2, 3, 4


class ActFormatError(ValueError):
    """The bytes are not an act, or a part of it is out of range."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: everything that the digest binds.

    Attributes:
        act: canonical bytes, as `encode_act` writes them.
        requested_at_us, expires_at_us: microseconds since 1970-01-01T00:00:00Z.
    """

    request_id: uuid.UUID
    tenant: str
    act: bytes
    cause: str
    requested_by: str
    requested_at_us: int
    expires_at_us: int

    @property
    def digest(self) -> bytes:
        """32 bytes; see docs/formats.md, "Act request"."""
        return hashlib.sha256(
            _REQUEST
            + self.request_id.bytes
            + _text(self.tenant)
            + _text_bytes(self.act)
            + _text(self.cause)
            + _text(self.requested_by)
            + _TIME.pack(self.requested_at_us)
            + _TIME.pack(self.expires_at_us)
        ).digest()


@dataclass(frozen=True, slots=True)
class Approval:
    """A second custodian's yes.

    Attributes:
        signature: 64 bytes, of `approval_statement`, by this version of the approval key.
    """

    by: str
    at_us: int
    key_version: int
    signature: bytes = field(repr=False)


class ActState(enum.IntEnum):
    """How far a request is; numbers as in `vault.v1.ActState`."""

    OPEN = 1
    APPROVED = 2
    DONE = 3
    EXPIRED = 4
    WITHDRAWN = 5


@dataclass(frozen=True, slots=True)
class StoredAct:
    """A request as it lies in the database: believed by nobody before it is checked.

    Attributes:
        digest: as noted when it was made; `asked.digest` is what the row gives now.
        done_at_us: microseconds since 1970; None: not carried out.
        now_us: the database's time when the row was read.
    """

    asked: Asked
    digest: bytes
    approval: Approval | None
    is_withdrawn: bool
    done_at_us: int | None
    now_us: int

    @property
    def state(self) -> ActState:
        if self.done_at_us is not None:
            return ActState.DONE
        if self.is_withdrawn:
            return ActState.WITHDRAWN
        if self.now_us >= self.asked.expires_at_us:
            return ActState.EXPIRED
        return ActState.OPEN if self.approval is None else ActState.APPROVED

    @property
    def is_intact(self) -> bool:
        """Whether the row gives the digest that was noted."""
        return self.asked.digest == self.digest

    def statement(self, approver: str, approved_at_us: int) -> bytes:
        """What an approval of exactly this request signs."""
        return approval_statement(
            request_digest=self.asked.digest,
            approver=approver,
            approved_at_us=approved_at_us,
            expires_at_us=self.asked.expires_at_us,
        )


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def to_us(time: dt.datetime) -> int:
    """Microseconds since 1970 of an aware time."""
    return (time - _EPOCH) // _MICROSECOND


def from_us(time_us: int) -> dt.datetime:
    """The time, in UTC, of microseconds since 1970."""
    return _EPOCH + time_us * _MICROSECOND


def approval_statement(
    *, request_digest: bytes, approver: str, approved_at_us: int, expires_at_us: int
) -> bytes:
    """What an approval signs; see docs/formats.md, "Approval".

    Raises:
        ActFormatError: the digest has not 32 bytes, or the approver's id is empty or too long.
    """
    if len(request_digest) != _DIGEST_BYTES:
        raise ActFormatError("a digest has 32 bytes")
    return (
        _APPROVAL
        + request_digest
        + _text(approver)
        + _TIME.pack(approved_at_us)
        + _TIME.pack(expires_at_us)
    )


def idempotency_digest(*, caller: str, key: str) -> bytes:
    """By what a repeated request is recognised; 32 bytes."""
    return hashlib.sha256(_IDEMPOTENCY + _text(caller) + _text(key)).digest()


def encode_act(act: Act) -> bytes:
    """The canonical bytes of an act.

    Raises:
        ActFormatError: a part is out of range.
    """
    match act:
        case Retire(version):
            return bytes((ACT_VERSION, _RETIRE)) + _version(version)
        case Trim(version):
            return bytes((ACT_VERSION, _TRIM)) + _version(version)
        case Destroy(tenant):
            return bytes((ACT_VERSION, _DESTROY)) + _text(tenant)
        case Widen(digest):
            if len(digest) != _DIGEST_BYTES:
                raise ActFormatError("a digest has 32 bytes")
            return bytes((ACT_VERSION, _WIDEN)) + digest


def decode_act(data: bytes) -> Act:
    """Reads what `encode_act` writes, and nothing else.

    Raises:
        ActFormatError: it is anything else.
    """
    try:
        act = _decode(data)
    except (struct.error, UnicodeDecodeError) as error:
        raise ActFormatError("not an act") from error
    if act is None or encode_act(act) != data:
        raise ActFormatError("not an act")
    return act


def _decode(data: bytes) -> Act | None:
    if data[:1] != bytes((ACT_VERSION,)):
        return None
    rest = data[2:]
    match data[1:2]:
        case b"\x01":
            return Retire(_U32.unpack(rest)[0])
        case b"\x02":
            return Trim(_U32.unpack(rest)[0])
        case b"\x03":
            return Destroy(rest[_U16.size :].decode())
        case b"\x04":
            return Widen(rest)
    return None


def _version(number: int) -> bytes:
    if not 1 <= number <= MAX_VERSION:
        raise ActFormatError("a version is 1 to 2^31 - 1")
    return _U32.pack(number)


def _text(text: str) -> bytes:
    return _text_bytes(text.encode())


def _text_bytes(data: bytes) -> bytes:
    if not 1 <= len(data) <= _MAX_TEXT:
        raise ActFormatError("a part is empty or too long")
    return _U16.pack(len(data)) + data
