"""An entry from its signed bytes, in the client's words. Pure."""

import datetime as dt

from vault.audit import entry as signed
from vault.client import Entry, EntryItem

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def client_entry(entry: signed.Entry, data: bytes) -> Entry:
    """What the vault would have answered for these bytes."""
    return Entry(
        entry_id=entry.entry_id.hex,
        time=_EPOCH + dt.timedelta(microseconds=entry.time_us),
        call_id=entry.call_id.hex,
        tenant=entry.tenant,
        rpc=entry.rpc,
        caller=entry.caller,
        authentication=entry.authentication.name.lower(),
        roles=entry.roles,
        purpose=entry.purpose,
        case=entry.case,
        subject_id=entry.subject_id.hex if entry.subject_id else "",
        verdict=entry.verdict,
        reason=entry.reason,
        field=entry.field,
        items=tuple(
            EntryItem(
                token_digest=item.token_digest.hex(),
                field_type=item.field_type,
                wanted_view=item.wanted,
                view=item.view,
                verdict=item.verdict,
                reason=item.reason,
                policies=item.policies,
            )
            for item in entry.items
        ),
        bundle_digest=entry.bundle_digest.hex(),
        trace_id=entry.trace_id.hex(),
        span_id=entry.span_id.hex(),
        entry=data,
        leaf_hash=signed.leaf_hash(data),
        act="" if entry.act is None else str(entry.act),
    )
