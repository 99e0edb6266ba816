-- Old months of the log may go to files. docs/storage.md, "Archive", explains how.

-- Whose entry a leaf stands for: auditors may find a leaf of their own tenant by its entry's id, also when
-- the entry's row is gone. Null where the entry's row knows it; filled in before that row goes.
alter table audit_leaves add column tenant text;

-- The months that went to files. Their leaves and tiles stay, so that they can still be proved.
create table audit_archives (
    partition text not null primary key,
    month_begin timestamptz not null,
    month_end timestamptz not null,
    entries bigint not null check (entries >= 0),
    first_index bigint,
    last_index bigint,
    checkpoint_size bigint not null,
    index_sha256 bytea not null check (octet_length(index_sha256) = 32),
    archived_at timestamptz not null default now()
);

-- Takes an archived month out of the database, in the caller's transaction; only the owner's role can.
-- False, and nothing happened, if the month is not (any more) what was archived.
create function drop_archived_partition(
    part text, expected bigint, first_leaf bigint, last_leaf bigint, tree_size bigint, index_digest bytea
) returns boolean
language plpgsql set search_path = public, pg_temp as $$
declare
    first_day timestamp;
    found_entries bigint;
    found_leaves bigint;
    found_first bigint;
    found_last bigint;
    are_inside boolean;
begin
    if part !~ '^audit_entries_[0-9]{4}_[0-9]{2}$' or not exists (
        select from pg_inherits
        where inhparent = 'public.audit_entries'::regclass and inhrelid = to_regclass('public.' || part)
    ) then
        raise exception 'not a month of the log';
    end if;
    first_day := to_timestamp(right(part, 7), 'YYYY_MM')::timestamp;
    if (first_day + interval '1 month') at time zone 'UTC' > now() then
        raise exception 'the month is not over';
    end if;
    -- No row can come in between the count and the end; readers may go on.
    execute format('lock table %I in share row exclusive mode', part);
    execute format(
        'select count(*), count(l.leaf_index), min(l.leaf_index), max(l.leaf_index),'
        '    coalesce(bool_and(e.recorded_at >= $1 and e.recorded_at < $2), true)'
        ' from %I as e left join audit_leaves as l'
        ' on l.entry_id = e.entry_id and l.leaf_hash = e.leaf_hash and l.leaf_index between $3 and $4',
        part
    )
    into found_entries, found_leaves, found_first, found_last, are_inside
    using first_day at time zone 'UTC', (first_day + interval '1 month') at time zone 'UTC',
        first_leaf, last_leaf;
    if found_entries <> expected or found_leaves <> expected or not are_inside
        or found_first is distinct from first_leaf or found_last is distinct from last_leaf
        or not exists (select from audit_checkpoints as c where c.size = tree_size)
        or coalesce(last_leaf >= tree_size, false)
    then
        return false;
    end if;
    execute format(
        'update audit_leaves as l set tenant = e.tenant from %I as e'
        ' where l.entry_id = e.entry_id and l.tenant is null and l.leaf_index between $1 and $2',
        part
    )
    using first_leaf, last_leaf;
    insert into audit_archives (
        partition, month_begin, month_end, entries, first_index, last_index, checkpoint_size, index_sha256
    ) values (
        part, first_day at time zone 'UTC', (first_day + interval '1 month') at time zone 'UTC',
        expected, first_leaf, last_leaf, tree_size, index_digest
    );
    execute format('alter table audit_entries detach partition %I', part);
    execute format('drop table %I', part);
    return true;
end
$$;
revoke all on function drop_archived_partition(text, bigint, bigint, bigint, bigint, bytea) from public;

-- As before, and now for the sequencer's leader to call: it waits shortly only, as writers would wait behind it,
-- and passes over a month that has rows in the partition for the rest.
create or replace function ensure_audit_partitions(months int) returns void
language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '1s' as $$
declare
    first_day date := date_trunc('month', now() at time zone 'UTC')::date;
    part text;
begin
    if months not between 0 and 120 then
        raise exception 'months is 0 to 120';
    end if;
    for i in 0..months loop
        part := 'audit_entries_' || to_char(first_day + make_interval(months => i), 'YYYY_MM');
        if to_regclass('public.' || part) is null then
            begin
                execute format(
                    'create table %I partition of audit_entries for values from (%L) to (%L)',
                    part,
                    ((first_day + make_interval(months => i))::timestamp at time zone 'UTC'),
                    ((first_day + make_interval(months => i + 1))::timestamp at time zone 'UTC')
                );
            exception when check_violation then
                null;
            end;
        end if;
    end loop;
end
$$;

grant execute on function ensure_audit_partitions(int) to pdvault_sequencer;
grant select on audit_entries_rest to pdvault_sequencer;
grant select on audit_archives to pdvault_sequencer, pdvault_audit_reader;
