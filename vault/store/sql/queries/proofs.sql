-- name: find_leaves
-- Where these entries stand in the tree, as far as a tenant may know; also those whose month went to files.
select l.entry_id, l.leaf_index, l.leaf_hash
from audit_leaves as l
left join audit_entries as e on e.entry_id = l.entry_id and e.recorded_at = l.recorded_at
where l.entry_id = any($1::uuid[]) and coalesce(e.tenant, l.tenant) in ($2, '');

-- name: covering_checkpoint
-- The first checkpoint of at least this size, with its cosignatures and the chain of the log's keys.
select
    k.size,
    k.root,
    k.note || coalesce(
        (select string_agg(c.line, '' order by c.witness) from audit_cosignatures as c where c.size = k.size), ''
    ) as note,
    k.signed_at,
    array(
        select s.note from audit_key_successions as s
        where s.origin = split_part(k.note, E'\n', 1)
        order by s.version
    ) as successions
from audit_checkpoints as k
where k.size >= $1
order by k.size
limit 1;

-- name: export_leaves
-- The leaves [$1, $2) in order; an entry only where the tenant may see it, and none of a month that went to
-- files.
select
    l.leaf_index,
    l.leaf_hash,
    case when e.tenant in ($3, '') then e.entry end as entry,
    e.entry_id is null and l.tenant in ($3, '') as is_archived
from audit_leaves as l
left join audit_entries as e on e.entry_id = l.entry_id and e.recorded_at = l.recorded_at
where l.leaf_index >= $1 and l.leaf_index < $2
order by l.leaf_index;

-- name: entries_after
-- Entries that came into the log since an index, oldest first; for following it live.
select l.leaf_index, e.entry_id, e.entry, e.leaf_hash
from audit_leaves as l
join audit_entries as e on e.entry_id = l.entry_id and e.recorded_at = l.recorded_at
where l.leaf_index >= $1 and e.tenant in ($2, '')
order by l.leaf_index
limit $3;

-- name: count_accesses
-- Accesses of a tenant by hour, method, caller, purpose and verdicts; of months that went to files as they
-- were counted then.
with live as (
    select date_trunc('hour', recorded_at) as hour, rpc, caller, purpose, verdicts, count(*) as entries
    from audit_entries
    where tenant in ($1, '') and recorded_at >= $2 and recorded_at < $3 and ($4::uuid is null or case_id = $4)
    group by 1, 2, 3, 4, 5
), archived as (
    select hour, rpc, caller, purpose, verdicts, entries
    from audit_archive_counts
    where tenant in ($1, '') and hour >= $2 and hour < $3 and $4::uuid is null
)
select hour, rpc, caller, purpose, verdicts, entries from live
union all
select hour, rpc, caller, purpose, verdicts, entries from archived
order by 1, 2, 3, 4, 5
limit 100001;

-- name: archived_months
-- The months that went to files and have a part of [$1, $2), the newest first.
select to_char(month_begin at time zone 'UTC', 'YYYY-MM') as label, index_sha256
from audit_archives
where month_end > $1 and month_begin < $2
order by month_begin desc;
