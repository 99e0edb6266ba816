-- name: add_entry
-- Adds one entry; columns as in `vault.rows.EntryRow`.
insert into audit_entries (
    entry_id, tenant, recorded_at, rpc, caller, purpose, subject_id, verdicts, views, field_types, policies,
    bundle_digest, trace_id, case_id, entry, leaf_hash
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16);

-- name: list_entries
-- One page of a tenant's entries, newest first. A filter that is null does not narrow.
-- Calls of identities that belong to no tenant are everybody's concern.
select entry_id, entry, leaf_hash
from audit_entries
where tenant in ($1, '')
  and ($2::uuid is null or subject_id = $2)
  and ($3::text is null or caller = $3)
  and ($4::text is null or purpose = $4)
  and ($5::smallint is null or verdicts & $5 <> 0)
  and ($6::bytea is null or trace_id = $6)
  and ($7::timestamptz is null or recorded_at >= $7)
  and ($8::timestamptz is null or recorded_at < $8)
  and ($9::uuid is null or entry_id < $9)
  and ($10::text is null or field_types @> array[$10])
  and ($11::smallint is null or views & $11 <> 0)
  and ($12::text is null or policies @> array[$12])
  and ($13::bytea is null or bundle_digest = $13)
  and ($14::uuid is null or case_id = $14)
  and ($15::uuid is null or entry_id = $15)
order by entry_id desc
limit $16;
