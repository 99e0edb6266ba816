"""Messages about acts that take two custodians, to domain values and back."""

import re
import uuid

from google.protobuf import timestamp_pb2

from vault.errors import Reason, invalid
from vault.keys.acts import (
    CAUSES,
    MAX_VERSION,
    Act,
    ActFormatError,
    Destroy,
    Retire,
    StoredAct,
    Trim,
    Widen,
    decode_act,
)
from vault.rpc.text import check_form, check_text
from vault.service.acts import ActCommand, CarriedOut
from vault.v1 import keys_pb2

DEFAULT_PAGE = 50
MAX_PAGE = 200

_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9._:-]{16,128}")
_KEY_RULE = "is not 16 to 128 characters of [A-Za-z0-9._:-]"
_HEX32 = re.compile(r"[0-9a-f]{32}")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_HEX32_RULE = "is not 32 lower-case hex digits"
_HEX64_RULE = "is not 64 lower-case hex digits"
_MAX_TENANT = 63


def act_command(request: keys_pb2.RequestActRequest) -> ActCommand:
    """A RequestAct request in domain words.

    Raises:
        VaultError: a field is missing or out of form.
    """
    check_form(request.idempotency_key, "idempotency_key", _IDEMPOTENCY_KEY, _KEY_RULE)
    if not request.cause:
        raise invalid(Reason.FIELD_MISSING, "cause", "is required")
    if request.cause not in CAUSES:
        raise invalid(Reason.FIELD_INVALID, "cause", f"is none of {', '.join(CAUSES)}")
    return ActCommand(_act(request.act), request.cause, request.idempotency_key)


def request_id_of(text: str) -> uuid.UUID:
    """The id of a request.

    Raises:
        VaultError: FIELD_MISSING or FIELD_INVALID.
    """
    check_form(text, "request_id", _HEX32, _HEX32_RULE)
    return uuid.UUID(hex=text)


def digest_of(text: str) -> bytes:
    """The digest that an approver has read.

    Raises:
        VaultError: FIELD_MISSING or FIELD_INVALID.
    """
    check_form(text, "request_digest", _HEX64, _HEX64_RULE)
    return bytes.fromhex(text)


def page_size_of(number: int) -> int:
    """How many requests to list.

    Raises:
        VaultError: FIELD_INVALID.
    """
    if not 0 <= number <= MAX_PAGE:
        raise invalid(Reason.FIELD_INVALID, "page_size", f"is not 0 to {MAX_PAGE}")
    return number or DEFAULT_PAGE


def act_request_message(stored: StoredAct) -> keys_pb2.ActRequest:
    """A request as it lies in the database. `digest` is what the row gives now, so that an approver
    who compares it sees whether it is what was asked for.
    """
    asked, approval = stored.asked, stored.approval
    message = keys_pb2.ActRequest(
        request_id=asked.request_id.hex,
        act=_act_message(asked.act),
        cause=asked.cause,
        requested_by=asked.requested_by,
        requested_at=_time(asked.requested_at_us),
        expires_at=_time(asked.expires_at_us),
        digest=asked.digest.hex(),
        state=f"ACT_STATE_{stored.state.name}",
    )
    if approval is not None:
        message.approved_by = approval.by
        message.approved_at.CopyFrom(_time(approval.at_us))
    if stored.done_at_us is not None:
        message.done_at.CopyFrom(_time(stored.done_at_us))
    return message


def carried_out_message(carried: CarriedOut, call_id: uuid.UUID) -> keys_pb2.CarryOutActResponse:
    return keys_pb2.CarryOutActResponse(
        request=act_request_message(carried.stored),
        obstacles=carried.obstacles,
        effect=carried.effect,
        call_id=call_id.hex,
    )


def _act(message: keys_pb2.Act) -> Act:
    match message.WhichOneof("act"):
        case "retire":
            version = message.retire.min_decryption_version
            return Retire(_version(version, "act.retire.min_decryption_version"))
        case "trim":
            version = message.trim.min_available_version
            return Trim(_version(version, "act.trim.min_available_version"))
        case "destroy":
            check_text(message.destroy.tenant, "act.destroy.tenant", max_bytes=_MAX_TENANT)
            return Destroy(message.destroy.tenant)
        case "widen_policy":
            digest = message.widen_policy.bundle_digest
            check_form(digest, "act.widen_policy.bundle_digest", _HEX64, _HEX64_RULE)
            return Widen(bytes.fromhex(digest))
    raise invalid(Reason.FIELD_MISSING, "act", "is required")


def _version(number: int, path: str) -> int:
    if not 1 <= number <= MAX_VERSION:
        raise invalid(Reason.FIELD_INVALID, path, "is not a version from 1")
    return number


def _act_message(data: bytes) -> keys_pb2.Act | None:
    try:
        act = decode_act(data)
    except ActFormatError:
        return None  # tampered with; nobody can approve it or carry it out
    match act:
        case Retire(version):
            retire = keys_pb2.RetireRootVersions(min_decryption_version=version)
            return keys_pb2.Act(retire=retire)
        case Trim(version):
            return keys_pb2.Act(trim=keys_pb2.TrimRootVersions(min_available_version=version))
        case Destroy(tenant):
            return keys_pb2.Act(destroy=keys_pb2.DestroyRootKey(tenant=tenant))
        case Widen(digest):
            return keys_pb2.Act(widen_policy=keys_pb2.WidenPolicy(bundle_digest=digest.hex()))


def _time(time_us: int) -> timestamp_pb2.Timestamp:
    found = timestamp_pb2.Timestamp()
    found.FromMicroseconds(time_us)
    return found
