-- What calls are about (an order, a ticket), and the counts of months that went to files.

-- From the keyed digest of a case's reference to its random handle, which is all that the log holds of it. So
-- the log holds nothing of the reference, and a row that is deleted here is forgotten. Distributed by ref_digest.
create table case_refs (
    ref_digest bytea not null check (octet_length(ref_digest) = 32),
    tenant text not null,
    index_key_version int not null,
    case_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (ref_digest, tenant)
);
grant select, insert on case_refs to pdvault_service;

alter table audit_entries add column case_id uuid;
create index audit_entries_by_case on audit_entries (case_id, entry_id) where case_id is not null;

-- How often, by hour, of the months that went to files: counted as they go.
create table audit_archive_counts (
    tenant text not null,
    hour timestamptz not null,
    rpc text not null,
    caller text not null,
    purpose text not null,
    verdicts smallint not null,
    entries bigint not null,
    primary key (tenant, hour, rpc, caller, purpose, verdicts)
);
grant select on audit_archive_counts to pdvault_audit_reader;

-- As before, and counts the month.
create or replace function drop_archived_partition(
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
    execute format(
        'insert into audit_archive_counts (tenant, hour, rpc, caller, purpose, verdicts, entries)'
        ' select tenant, date_trunc(''hour'', recorded_at), rpc, caller, purpose, verdicts, count(*)'
        ' from %I group by 1, 2, 3, 4, 5, 6',
        part
    );
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
