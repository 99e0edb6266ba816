-- name: lock_archives
-- One archiving at a time, for as long as this connection lives.
select pg_try_advisory_lock($1);

-- name: log_months
-- The months' partitions of the log, the oldest first.
select c.relname as name
from pg_inherits as i
join pg_class as c on c.oid = i.inhrelid
where i.inhparent = 'public.audit_entries'::regclass and c.relname ~ '^audit_entries_[0-9]{4}_[0-9]{2}$'
order by c.relname;

-- name: month_facts
-- What the partition $1 of the month [$2, $3) holds, and where that stands in the tree.
select
    count(*) as entries,
    count(l.leaf_index) as sequenced,
    min(l.leaf_index) as first,
    max(l.leaf_index) as last
from audit_entries as e
left join audit_leaves as l on l.entry_id = e.entry_id and l.leaf_hash = e.leaf_hash
where e.tableoid = to_regclass($1) and e.recorded_at >= $2 and e.recorded_at < $3;

-- name: month_ids
-- Ids and places of the month [$1, $2) between the leaves $3 and $4, by id.
select entry_id, leaf_index from audit_leaves
where recorded_at >= $1 and recorded_at < $2 and leaf_index >= $3 and leaf_index <= $4
order by entry_id;

-- name: drop_archived_partition
-- Takes an archived month out of the database, unless it has changed since.
select drop_archived_partition($1, $2, $3, $4, $5, $6);
