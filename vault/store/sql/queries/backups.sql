-- name: add_backup
-- Says that there is, or is about to be, a backup.
insert into backups (backup_id, kind, state, taken_at, covers_until, keep_until, label)
select $1, $2, $3, $4, $5, $6, $7
where $6 > now();

-- name: add_backup_roots
-- The root versions that wrap the keys that there are.
insert into backup_roots (backup_id, tenant, root_version, keys)
select $1, k.tenant, k.root_version, count(*)
from (
    select tenant, root_version from subject_keys
    union all
    select tenant, root_version from tenant_keys
) as k
group by k.tenant, k.root_version;

-- name: count_roots
-- The root versions that wrap the keys that there are, in one snapshot.
select k.tenant, k.root_version, count(*) as keys
from (
    select tenant, root_version from subject_keys
    union all
    select tenant, root_version from tenant_keys
) as k
group by k.tenant, k.root_version
order by k.tenant, k.root_version;

-- name: drop_backup_roots
-- Before the exact ones come.
delete from backup_roots where backup_id = $1;

-- name: learn_backup_root
-- One exact count.
insert into backup_roots (backup_id, tenant, root_version, keys) values ($1, $2, $3, $4)
on conflict (backup_id, tenant, root_version) do nothing;

-- name: finish_backup
-- The backup is whole and in its place.
update backups set state = 'kept', covers_until = $2, size = $3, sha256 = $4
where backup_id = $1 and state = 'unfinished';

-- name: end_backup
-- There is no such backup (any more).
update backups set state = $2 where backup_id = $1 and state in ('unfinished', 'kept');

-- name: learn_backup
-- A backup that the ledger knows. What is known here already stays, but that it is finished.
insert into backups (backup_id, kind, state, taken_at, covers_until, keep_until, label)
values ($1, $2, 'kept', $3, $4, $5, $6)
on conflict (backup_id) do update set state = 'kept', covers_until = excluded.covers_until
where backups.state = 'unfinished';

-- name: list_backups
-- All backups, the newest first.
select
    b.backup_id, b.kind, b.state, b.taken_at, b.covers_until, b.keep_until, b.size, b.sha256, b.label,
    coalesce(r.roots, '{}') as roots
from backups as b
left join (
    select backup_id, array_agg(tenant || ' ' || root_version || ' ' || keys order by tenant, root_version) as roots
    from backup_roots group by backup_id
) as r using (backup_id)
order by b.taken_at desc, b.backup_id
limit $1;

-- name: backups_needing
-- How many backups inside their window need each root version of a tenant.
select r.root_version, count(*) as backups
from backup_roots as r
join backups as b using (backup_id)
where r.tenant = $1 and b.state in ('unfinished', 'kept') and b.keep_until > now()
group by r.root_version
order by r.root_version;

-- name: latest_keep_until
-- Until when a backup may be kept that holds what was there from $1 (null: always) to $2.
select max(keep_until)
from backups
where state in ('unfinished', 'kept')
    and keep_until > $2
    and taken_at <= $2
    and ($1::timestamptz is null or coalesce(covers_until, 'infinity') >= $1);

-- name: lock_dumped
-- Keeps months from going to files, and migrations from changing tables, while a dump is read. Before the snapshot
-- is taken, which the first query after it does.
lock table schema_migrations, audit_entries in access share mode;

-- name: dumped_tables
-- What holds rows: tables and partitions, where their rows belong, and their columns in order.
select
    c.relname as name,
    coalesce(p.relname, c.relname) as parent,
    (
        select array_agg(a.attname order by a.attnum) from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    ) as columns
from pg_class as c
left join pg_inherits as i on i.inhrelid = c.oid
left join pg_class as p on p.oid = i.inhparent
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname <> 'schema_migrations'
order by parent, name;

-- name: dump_facts
-- The moment of the snapshot, and what the log was at it.
select
    now() as taken_at,
    current_setting('server_version') as postgres,
    (select coalesce(max(leaf_index) + 1, 0) from audit_leaves) as leaves,
    coalesce((select note from audit_checkpoints order by size desc limit 1), '') as checkpoint,
    (select ledger_index from ledger_applied order by ledger_index desc limit 1) as ledger_index,
    (select hash from ledger_applied order by ledger_index desc limit 1) as ledger_hash,
    (select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r') as about_rows,
    pg_database_size(current_database()) as about_bytes;

-- name: count_relations
-- Whatever is in the schema; nothing may be, in a database that a backup goes into.
select count(*) from pg_class where relnamespace = 'public'::regnamespace;

-- name: make_restore_functions
-- For this session only: nothing of them stays.
create function pg_temp.restore_begin() returns void language plpgsql as $$
declare
    one record;
begin
    create temp table restore_triggers on commit drop as
    select c.relname as relation, t.tgname as name
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = 'public'::regnamespace and not t.tgisinternal and t.tgenabled = 'O'
        and t.tgparentid = 0;
    for one in select relation, name from restore_triggers loop
        execute format('alter table public.%I disable trigger %I', one.relation, one.name);
    end loop;
    for one in
        select relname from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
            and relname <> 'schema_migrations'
    loop
        execute format('truncate table public.%I', one.relname);
    end loop;
    -- Keys and indexes are made once all rows are there, which is faster than row by row. Those of the log's
    -- months stay, as they hang together with their parent's.
    create temp table restore_keys on commit drop as
    select c.relname as relation, k.conname as name, pg_get_constraintdef(k.oid) as definition
    from pg_constraint as k
    join pg_class as c on c.oid = k.conrelid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and not c.relispartition
        and k.contype in ('p', 'u') and c.relname <> 'schema_migrations';
    create temp table restore_indexes on commit drop as
    select x.relname as name, pg_get_indexdef(i.indexrelid) as definition
    from pg_index as i
    join pg_class as c on c.oid = i.indrelid
    join pg_class as x on x.oid = i.indexrelid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and not c.relispartition
        and not exists (select from pg_constraint as k where k.conindid = i.indexrelid);
    for one in select name from restore_indexes loop
        execute format('drop index public.%I', one.name);
    end loop;
    for one in select relation, name from restore_keys loop
        execute format('alter table public.%I drop constraint %I', one.relation, one.name);
    end loop;
end
$$;
create function pg_temp.restore_month(part text) returns void language plpgsql as $$
declare
    first_day timestamp := to_timestamp(right(part, 7), 'YYYY_MM')::timestamp;
begin
    if part !~ '^audit_entries_[0-9]{4}_[0-9]{2}$' then
        raise exception 'not a month of the log';
    end if;
    if to_regclass('public.' || part) is null then
        execute format(
            'create table public.%I partition of public.audit_entries for values from (%L) to (%L)',
            part, first_day at time zone 'UTC', (first_day + interval '1 month') at time zone 'UTC'
        );
    end if;
end
$$;
create function pg_temp.restore_end() returns void language plpgsql as $$
declare
    one record;
begin
    for one in select relation, name, definition from restore_keys loop
        execute format('alter table public.%I add constraint %I %s', one.relation, one.name, one.definition);
    end loop;
    for one in select definition from restore_indexes loop
        execute one.definition;
    end loop;
    for one in select relation, name from restore_triggers loop
        execute format('alter table public.%I enable trigger %I', one.relation, one.name);
    end loop;
end
$$;

-- name: restore_begin
-- Empties what the migrations filled, and lets rows in without triggers, keys and indexes.
select pg_temp.restore_begin();

-- name: restore_month
-- A partition for a month of the log, as migrations and the sequencer make it.
select pg_temp.restore_month($1);

-- name: restore_end
-- Keys, indexes and triggers as they were.
select pg_temp.restore_end();

-- name: withdraw_restored_requests
-- Whatever was approved and not done when the backup was taken may have been done since: ask anew.
update custody_requests set withdrawn_by = 'pdvault restore', withdrawn_at = now()
where done_at is null and withdrawn_at is null;

-- name: newest_entry_time
-- How far a database that others restored goes.
select max(recorded_at) from audit_entries;

-- name: analyze_all
-- Statistics for the planner, which a dump does not hold.
analyze;

-- name: next_origin
-- Whether a restore ended the log of this name, and under which name it goes on.
select next_origin from audit_ended_logs where origin = $1;

-- name: first_origin
-- The name of the first log of this deployment; null: the present one is the first.
select origin from audit_ended_logs order by ended_at limit 1;

-- name: end_log
-- A log ends: what was signed in its name is kept apart.
with ended as (
    insert into audit_ended_logs (origin, size, root, note, kept, next_origin, entry_id)
    values ($1, $2, $3, $4, $5, $6, $7)
), moved as (
    delete from audit_checkpoints returning size, root, note, signed_at
), lines as (
    delete from audit_cosignatures returning size, witness, line
)
insert into audit_past_checkpoints (origin, size, root, note, signed_at)
select
    $1, m.size, m.root,
    m.note || coalesce((select string_agg(l.line, '' order by l.witness) from lines as l where l.size = m.size), ''),
    m.signed_at
from moved as m;

-- name: place_entry
-- Gives an entry that waits the place $2, at once.
with waiting as (
    delete from audit_pending where entry_id = $1 returning entry_id, recorded_at
)
insert into audit_leaves (leaf_index, entry_id, recorded_at, leaf_hash, tenant)
select $2, w.entry_id, w.recorded_at, e.leaf_hash, e.tenant
from waiting as w
join audit_entries as e on e.entry_id = w.entry_id and e.recorded_at = w.recorded_at;

-- name: sample_subjects
-- Subjects from a random handle on.
select subject_id from subject_keys where subject_id >= $1 order by subject_id limit $2;

-- name: sample_values
-- Values of these subjects and the keys that open them; those that were erased have none.
select
    t.token, t.tenant, t.subject_id, t.field_type, t.envelope, t.key_version,
    k.wrapped, k.root_version, k.key_salt, k.commitment
from tokens as t
join subject_keys as k on k.subject_id = t.subject_id and k.key_version = t.key_version
where t.subject_id = any($1) and octet_length(t.envelope) > 0
order by t.subject_id, t.token;

-- name: count_left_of
-- What is left of these subjects: keys, references, values.
select
    (select count(*) from subject_keys where subject_id = any($1)) as keys,
    (select count(*) from subject_refs where subject_id = any($1)) as refs,
    (select count(*) from tokens where subject_id = any($1) and octet_length(envelope) > 0) as "values",
    (select count(*) from tokens where subject_id = any($1)) as tokens;
