"""An entry as rows of CSV and as an OCSF event. Pure; docs/formats.md has both mappings."""

import base64
import csv
import datetime as dt
import io
import json
from collections.abc import Iterator

from vault import __version__
from vault.audit.entry import Entry, ItemParts, decode, leaf_hash
from vault.model import Verdict

OCSF_VERSION = "1.8.0"
_CLASS = 6003
"""API Activity (https://schema.ocsf.io/1.8.0/classes/api_activity)."""
_CREATE, _READ, _UPDATE, _OTHER = 1, 2, 3, 99
_ACTIVITIES = {
    "Tokenize": (_CREATE, "Create"),
    "ReloadBundle": (_UPDATE, "Update"),
    "Detokenize": (_READ, "Read"),
    "GetBundle": (_READ, "Read"),
}
# action and disposition of the security_control profile
_ACTIONS = {
    Verdict.ALLOWED: (1, "Allowed", 1, "Allowed"),
    Verdict.REFUSED: (2, "Denied", 2, "Blocked"),
    Verdict.INVALID: (2, "Denied", 25, "Rejected"),
    Verdict.FAILED: (99, "Other", 27, "Error"),
}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

COLUMNS = (
    "index",
    "entry_id",
    "time",
    "tenant",
    "rpc",
    "caller",
    "authentication",
    "roles",
    "purpose",
    "case",
    "subject_id",
    "verdict",
    "reason",
    "field",
    "item",
    "token_digest",
    "field_type",
    "wanted_view",
    "view",
    "item_verdict",
    "item_reason",
    "policies",
    "bundle_digest",
    "call_id",
    "trace_id",
    "span_id",
    "leaf_hash",
)


def csv_head() -> bytes:
    """The first line."""
    return _csv(COLUMNS)


def csv_lines(index: int, data: bytes, _origin: str) -> Iterator[bytes]:
    """A row for each item; one row for an entry without items.

    Raises:
        EntryFormatError: not an entry.
    """
    entry = decode(data)
    before = (
        str(index),
        entry.entry_id.hex,
        _time(entry).isoformat(timespec="microseconds"),
        entry.tenant,
        entry.rpc,
        entry.caller,
        entry.authentication.name.lower(),
        " ".join(entry.roles),
        entry.purpose,
        entry.case,
        entry.subject_id.hex if entry.subject_id else "",
        entry.verdict.name,
        entry.reason.name,
        entry.field,
    )
    after = (
        entry.bundle_digest.hex(),
        entry.call_id.hex,
        entry.trace_id.hex(),
        entry.span_id.hex(),
        leaf_hash(data).hex(),
    )
    for at, item in enumerate(entry.items):
        yield _csv((*before, str(at), *_item_cells(item), *after))
    if not entry.items:
        yield _csv((*before, *[""] * 8, *after))


def csv_index(line: bytes) -> int:
    """Raises: ValueError: not a row of `csv_lines`."""
    return int(line.partition(b",")[0])


def ocsf_lines(index: int, data: bytes, origin: str) -> Iterator[bytes]:
    """One event, on one line.

    Raises:
        EntryFormatError: not an entry.
    """
    event = _ocsf(index, decode(data), data, origin)
    yield json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def ocsf_index(line: bytes) -> int:
    """Raises: ValueError: not an event of `ocsf_lines`."""
    try:
        index = json.loads(line)["metadata"]["sequence"]
    except (KeyError, TypeError) as error:
        raise ValueError("not an event of an export") from error
    if type(index) is not int:
        raise ValueError("not an event of an export")
    return index


def _ocsf(index: int, entry: Entry, data: bytes, origin: str) -> dict[str, object]:
    service, _, operation = entry.rpc.rpartition("/")
    activity_id, activity = _ACTIVITIES.get(
        operation, (_READ, "Read") if service.endswith("AuditService") else (_OTHER, "Other")
    )
    action_id, action, disposition_id, disposition = _ACTIONS.get(
        entry.verdict, (0, "Unknown", 0, "Unknown")
    )
    is_done = entry.verdict is Verdict.ALLOWED
    policies = sorted({policy for item in entry.items for policy in item.policies})
    event: dict[str, object] = {
        "activity_id": activity_id,
        "activity_name": activity,
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": _CLASS,
        "class_name": "API Activity",
        "type_uid": _CLASS * 100 + activity_id,
        "type_name": f"API Activity: {activity}",
        "severity_id": 1,
        "severity": "Informational",
        "time": entry.time_us // 1000,
        "status_id": 1 if is_done else 2,
        "status": "Success" if is_done else "Failure",
        "action_id": action_id,
        "action": action,
        "disposition_id": disposition_id,
        "disposition": disposition,
        "metadata": {
            "version": OCSF_VERSION,
            "profiles": ["security_control"],
            "product": {"name": "pdvault", "vendor_name": "pdvault", "version": __version__},
            "uid": entry.entry_id.hex,
            "original_event_uid": entry.entry_id.hex,
            "correlation_uid": entry.trace_id.hex(),
            "sequence": index,
            "tenant_uid": entry.tenant,
            "log_name": origin,
            "original_time": _time(entry).isoformat(timespec="microseconds"),
        },
        "actor": {
            "user": _user(entry),
            "authorizations": [
                {"decision": action, "policy": {"uid": policy, "is_applied": True}}
                for policy in policies
            ],
        },
        "api": {
            "operation": operation,
            "service": {"name": service},
            "request": {"uid": entry.call_id.hex},
        },
        "src_endpoint": {"svc_name": entry.caller or "unknown"},
        "resources": [_resource(entry, item) for item in entry.items],
        "raw_data": base64.b64encode(data).decode(),
        "unmapped": {
            "purpose": entry.purpose,
            "case": entry.case,
            "subject_id": entry.subject_id.hex if entry.subject_id else "",
            "field": entry.field,
            "authentication": entry.authentication.name.lower(),
            "bundle_digest": entry.bundle_digest.hex(),
            "span_id": entry.span_id.hex(),
            "leaf_hash": leaf_hash(data).hex(),
        },
    }
    if not is_done:
        event["status_code"] = entry.reason.name
    return event


def _user(entry: Entry) -> dict[str, object]:
    if not entry.caller:
        return {"name": "not established", "type_id": 0, "type": "Unknown"}
    is_person = entry.caller.startswith("person:")
    return {
        "uid": entry.caller,
        "type_id": 1 if is_person else 4,
        "type": "User" if is_person else "Service",
        "groups": [{"name": role} for role in entry.roles],
    }


def _resource(entry: Entry, item: ItemParts) -> dict[str, object]:
    resource: dict[str, object] = {
        "name": item.field_type or "unknown",
        "type": "personal data field",
        "namespace": entry.tenant,
        "role_id": 1,
        "role": "Target",
        "data": {
            "wanted_view": item.wanted.name,
            "view": item.view.name,
            "verdict": item.verdict.name,
            "reason": item.reason.name,
            "policies": list(item.policies),
        },
    }
    if item.token_digest:
        resource["uid"] = item.token_digest.hex()
    if entry.subject_id:
        resource["owner"] = {"uid": entry.subject_id.hex}
    return resource


def _item_cells(item: ItemParts) -> tuple[str, ...]:
    return (
        item.token_digest.hex(),
        item.field_type,
        item.wanted.name,
        item.view.name,
        item.verdict.name,
        item.reason.name,
        " ".join(item.policies),
    )


def _csv(cells: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    # One row is one line, so that a file that was cut can be continued.
    csv.writer(text, lineterminator="\n").writerow([" ".join(cell.splitlines()) for cell in cells])
    return text.getvalue().encode()


def _time(entry: Entry) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=entry.time_us)
