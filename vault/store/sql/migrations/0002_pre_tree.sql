-- The tree over the audit log. docs/storage.md explains each table.
--
-- An entry is *recorded* (its row is committed), then *sequenced* (it has a leaf index, committed),
-- then *published* (a signed checkpoint over it is committed). Only the sequencer moves it on.

-- Entries without a leaf index yet. Emptied as fast as it fills, so its rows die young. recorded_at, here
-- and below, is the entry's own and finds its partition.
create table audit_pending (
    entry_id uuid not null primary key,
    recorded_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- The leaves, without gaps from 0.
create table audit_leaves (
    leaf_index bigint not null primary key check (leaf_index >= 0),
    entry_id uuid not null unique,
    recorded_at timestamptz not null,
    leaf_hash bytea not null check (octet_length(leaf_hash) = 32)
);

-- Full tiles, 256 hashes each (C2SP tlog-tiles). A tile that is not full is read from audit_leaves
-- and the tiles below it.
create table audit_tiles (
    level smallint not null check (level between 0 and 7),
    tile_index bigint not null check (tile_index >= 0),
    hashes bytea not null check (octet_length(hashes) = 8192),
    primary key (level, tile_index)
);

-- What was signed.
create table audit_checkpoints (
    size bigint not null primary key check (size > 0),
    root bytea not null check (octet_length(root) = 32),
    note text not null,
    signed_at timestamptz not null
);

-- Every entry becomes pending in the transaction that records it, whoever records it. A trigger, so that
-- it can't be forgotten and needs no right of the service.
create function audit_entries_become_pending() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
    insert into public.audit_pending (entry_id, recorded_at) select entry_id, recorded_at from added;
    return null;
end
$$;
revoke all on function audit_entries_become_pending() from public;

-- Entries of the time before the tree. The lock keeps new ones out until the trigger is there.
lock table audit_entries in share row exclusive mode;
insert into audit_pending (entry_id, recorded_at) select entry_id, recorded_at from audit_entries;
create trigger audit_entries_pending after insert on audit_entries
referencing new table as added for each statement execute function audit_entries_become_pending();

-- Least rights. Nobody updates; the sequencer deletes only what it has sequenced.
grant usage on schema public to pdvault_sequencer;
grant select on audit_entries, schema_migrations to pdvault_sequencer;
grant select, delete on audit_pending to pdvault_sequencer;
grant select, insert on audit_leaves, audit_tiles, audit_checkpoints to pdvault_sequencer;
grant select on audit_pending, audit_leaves, audit_tiles, audit_checkpoints to pdvault_audit_reader;
