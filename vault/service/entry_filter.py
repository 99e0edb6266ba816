"""Which entries a filter lets through, told from an entry itself. Pure.

Says the same as the columns of `audit_entries` and the statement `list_entries`, for where
there are no columns: entries on their way to who follows the log, and in an archive.
"""

import uuid

from vault.audit.entry import Entry
from vault.rows import EntryFilter


def passes(entry: Entry, wanted: EntryFilter) -> bool:
    """Whether an entry passes. `before` and `limit` are about pages, not looked at here."""
    verdicts = 1 << entry.verdict
    views = 0
    for item in entry.items:
        verdicts |= 1 << item.verdict
        views |= 1 << item.view
    exact = (
        (wanted.entry_id, entry.entry_id),
        (wanted.subject_id, entry.subject_id),
        (wanted.caller, entry.caller),
        (wanted.purpose, entry.purpose),
        (wanted.trace_id, entry.trace_id),
        (wanted.bundle_digest, entry.bundle_digest),
        (wanted.case_id, case_handle(entry)),
    )
    return (
        entry.tenant in (wanted.tenant, "")
        and all(value is None or value == there for value, there in exact)
        and (wanted.verdict_bit is None or bool(verdicts & wanted.verdict_bit))
        and (wanted.view_bit is None or bool(views & wanted.view_bit))
        and (
            wanted.field_type is None
            or any(item.field_type == wanted.field_type for item in entry.items)
        )
        and (wanted.policy is None or any(wanted.policy in item.policies for item in entry.items))
        and (wanted.start is None or entry.time_us >= wanted.start.timestamp() * 1e6)
        and (wanted.end is None or entry.time_us < wanted.end.timestamp() * 1e6)
    )


def case_handle(entry: Entry) -> uuid.UUID | None:
    """The handle of the case that an entry is about; None if there is none."""
    handle = entry.case.rpartition(":")[2]
    return uuid.UUID(hex=handle) if handle else None


def marks(wanted: EntryFilter) -> tuple[bytes, ...]:
    """Bytes that every entry that passes has somewhere: most others can be told without reading
    them.
    """
    found = [wanted.trace_id, wanted.bundle_digest]
    found += [each.bytes for each in (wanted.entry_id, wanted.subject_id) if each is not None]
    if wanted.case_id is not None:
        found.append(wanted.case_id.hex.encode())
    texts = (wanted.caller, wanted.purpose, wanted.field_type, wanted.policy)
    found += [text.encode() for text in texts if text is not None]
    return tuple(mark for mark in found if mark is not None)
