-- name: lead_sequencer
-- Leadership, for as long as this very connection lives.
select pg_try_advisory_lock($1);

-- name: tree_size
-- How many leaves there are, if there are no gaps; the patrol looks for those.
select coalesce(max(leaf_index) + 1, 0) from audit_leaves;

-- name: sequence_pending
-- Gives leaf indexes from $1 on to the oldest pending entries, at most $2, in one transaction: all of
-- them, or none if the bytes of one do not give its leaf hash.
with oldest as materialized (
    select entry_id, recorded_at from audit_pending order by entry_id limit $2
), batch as materialized (
    select o.entry_id, o.recorded_at, e.leaf_hash, e.tenant, coalesce(sha256('\x00'::bytea || e.entry) = e.leaf_hash, false) as is_sound
    from oldest as o
    left join audit_entries as e on e.entry_id = o.entry_id and e.recorded_at = o.recorded_at
), verdict as (
    select count(*) as entries, coalesce(bool_and(is_sound), true) as are_sound from batch
), taken as (
    delete from audit_pending
    where entry_id in (select entry_id from batch) and (select are_sound from verdict)
), placed as (
    insert into audit_leaves (leaf_index, entry_id, recorded_at, leaf_hash, tenant)
    select $1::bigint - 1 + row_number() over (order by entry_id), entry_id, recorded_at, leaf_hash, tenant
    from batch
    where (select are_sound from verdict)
)
select entries, are_sound, (select entry_id from batch where not is_sound order by entry_id limit 1) as damaged
from verdict;

-- name: ensure_partitions
-- Makes the partitions of the months to come.
select ensure_audit_partitions($1);

-- name: has_rest
-- Whether entries fell into no month's partition.
select exists (select from audit_entries_rest);

-- name: pending_backlog
-- How many entries wait (counted up to $1), and for how long the oldest has waited.
select
    (select count(*) from (select from audit_pending limit $1) as counted) as entries,
    coalesce(
        (
            select extract(epoch from clock_timestamp() - recorded_at)::float8
            from audit_pending order by entry_id limit 1
        ),
        0
    ) as seconds;

-- name: stored_leaves
-- Leaves from $1 on, at most $2, with the entries that they stand for. An entry of a month that went to
-- files is rightly gone.
select l.leaf_index, l.entry_id, l.leaf_hash, e.leaf_hash as entry_leaf_hash, e.entry,
    e.entry is null and exists (
        select from audit_archives as a where l.recorded_at >= a.month_begin and l.recorded_at < a.month_end
    ) as is_archived
from audit_leaves as l
left join audit_entries as e on e.entry_id = l.entry_id and e.recorded_at = l.recorded_at
where l.leaf_index >= $1 and l.leaf_index < $1 + $2::bigint
order by l.leaf_index;

-- name: leaf_hashes
-- The leaf hashes of [$1, $2), in order.
select leaf_index, leaf_hash from audit_leaves
where leaf_index >= $1 and leaf_index < $2
order by leaf_index;

-- name: tiles
-- The full tiles [$2, $3) of a level, in order.
select tile_index, hashes from audit_tiles
where level = $1 and tile_index >= $2 and tile_index < $3
order by tile_index;

-- name: add_tile
-- Stores a full tile, unless a leader before did.
insert into audit_tiles (level, tile_index, hashes) values ($1, $2, $3)
on conflict do nothing;

-- name: newest_checkpoint
-- The largest tree that was signed.
select size, root, note, signed_at from audit_checkpoints order by size desc limit 1;

-- name: add_checkpoint
-- Publishes a checkpoint, if it is larger than every one before.
insert into audit_checkpoints (size, root, note, signed_at)
select $1, $2, $3, $4
where not exists (select from audit_checkpoints where size >= $1)
returning size;

-- name: check_sequencer_role
-- What the sequencer's role could do that it must not, or must do and could not.
select
    r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolbypassrls or r.rolreplication
        or has_schema_privilege('public', 'create')
        or exists (
            select from unnest(array['audit_entries', 'audit_leaves', 'audit_tiles', 'audit_checkpoints', 'audit_cosignatures',
                'audit_key_successions']) as t
            where has_table_privilege('public.' || t, 'update, delete, truncate')
        )
        or has_table_privilege('public.audit_entries', 'insert')
        or has_table_privilege('public.audit_pending', 'insert, update, truncate') as is_mighty
from pg_roles as r
where r.rolname = current_user;
