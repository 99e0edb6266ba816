-- The first tables. docs/storage.md explains each and its Citus layout.
--
-- Rules kept here (so that the same SQL runs on Citus): no foreign keys, no sequences, and every
-- unique constraint holds the column that the table would be distributed by.

-- A consumer. Distributed by subject_id.
create table subjects (
    subject_id uuid not null primary key,
    tenant text not null,
    created_at timestamptz not null default now()
);

-- From the keyed digest of a shop's own reference to the random handle. Distributed by ref_digest.
create table subject_refs (
    ref_digest bytea not null check (octet_length(ref_digest) = 32),
    tenant text not null,
    index_key_version int not null,
    subject_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (ref_digest, tenant)
);

-- A consumer's data keys, wrapped by Transit. Distributed by subject_id, beside subjects.
create table subject_keys (
    subject_id uuid not null,
    key_version int not null check (key_version > 0),
    tenant text not null,
    wrapped text not null,
    root_version int not null check (root_version > 0),
    key_salt bytea not null check (octet_length(key_salt) = 32),
    commitment bytea not null check (octet_length(commitment) = 32),
    created_at timestamptz not null default now(),
    primary key (subject_id, key_version)
);

-- A tenant's index keys, wrapped by Transit. A reference table on Citus.
create table tenant_keys (
    tenant text not null,
    kind text not null check (kind = 'index'),
    key_version int not null check (key_version > 0),
    wrapped text not null,
    root_version int not null check (root_version > 0),
    commitment bytea not null check (octet_length(commitment) = 32),
    created_at timestamptz not null default now(),
    primary key (tenant, kind, key_version)
);

-- A token and the sealed value behind it. Distributed by token.
create table tokens (
    token text not null primary key,
    tenant text not null,
    subject_id uuid not null,
    field_type text not null,
    key_version int not null,
    envelope bytea not null,
    created_at timestamptz not null default now()
);
create index tokens_by_subject on tokens (subject_id);

-- Writes that were done, for retries. Distributed by key_digest. Kept for retention, then swept.
create table writes (
    key_digest bytea not null check (octet_length(key_digest) = 32),
    tenant text not null,
    request_digest bytea not null check (octet_length(request_digest) = 32),
    outcome bytea not null,
    created_at timestamptz not null default now(),
    primary key (key_digest, tenant)
);
create index writes_by_age on writes (created_at);

-- The audit log. `entry` is the record; the other columns only find it. Distributed by entry_id.
-- Partitioned by month, so that years of it stay fast and old months can go to files.
create table audit_entries (
    entry_id uuid not null,
    tenant text not null,
    recorded_at timestamptz not null,
    rpc text not null,
    caller text not null,
    purpose text not null,
    subject_id uuid,
    verdicts smallint not null,
    views smallint not null,
    field_types text[] not null,
    policies text[] not null,
    bundle_digest bytea not null check (octet_length(bundle_digest) = 32),
    trace_id bytea not null check (octet_length(trace_id) = 16),
    entry bytea not null,
    leaf_hash bytea not null check (octet_length(leaf_hash) = 32),
    primary key (entry_id, recorded_at)
) partition by range (recorded_at);
create table audit_entries_rest partition of audit_entries default;
create index audit_entries_by_subject on audit_entries (subject_id, entry_id) where subject_id is not null;
create index audit_entries_by_caller on audit_entries (tenant, caller, entry_id);
create index audit_entries_by_trace on audit_entries (trace_id);

-- Makes the partitions of this month and of the next ones. Whoever may call it can do no more.
create function ensure_audit_partitions(months int) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
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
            execute format(
                'create table %I partition of audit_entries for values from (%L) to (%L)',
                part,
                ((first_day + make_interval(months => i))::timestamp at time zone 'UTC'),
                ((first_day + make_interval(months => i + 1))::timestamp at time zone 'UTC')
            );
        end if;
    end loop;
end
$$;
revoke all on function ensure_audit_partitions(int) from public;
select ensure_audit_partitions(13);

-- Least rights. The service stores and reads values; of the log it can only add to the end.
revoke all on schema public from public;
grant usage on schema public to pdvault_service, pdvault_audit_reader;
grant select, insert on subjects, subject_refs, subject_keys, tenant_keys, tokens to pdvault_service;
grant select, insert, delete on writes to pdvault_service;
grant insert on audit_entries to pdvault_service;
grant select on audit_entries to pdvault_audit_reader;
grant select on schema_migrations to pdvault_service;
