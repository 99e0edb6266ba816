-- Backups, so that a key that one of them needs is not retired and an erasure can say when it is complete
-- everywhere; and logs that a restore ended. docs/backup.md explains both.

-- A row is there before the snapshot is taken, so that nothing can slip in between.
create table backups (
    backup_id uuid not null primary key,
    -- pdvault: made by `pdvault backup`. declared: somebody else's copy of one moment. archive: a base backup
    -- with the write-ahead log that follows, which holds everything from taken_at on.
    kind text not null check (kind in ('pdvault', 'declared', 'archive')),
    state text not null check (state in ('unfinished', 'kept', 'failed', 'gone')),
    -- It holds what there was at some moment between these; null: what there will be as well.
    taken_at timestamptz not null,
    covers_until timestamptz check (covers_until >= taken_at),
    -- After this it is deleted everywhere: whoever keeps backups promises that.
    keep_until timestamptz not null check (keep_until > taken_at),
    size bigint check (size >= 0),
    sha256 bytea check (octet_length(sha256) = 32),
    label text not null check (octet_length(label) <= 200),
    recorded_at timestamptz not null default now()
);

-- Which versions of which tenant's root key wrap the keys in a backup, and how many.
create table backup_roots (
    backup_id uuid not null,
    tenant text not null,
    root_version int not null check (root_version > 0),
    keys bigint not null check (keys >= 0),
    primary key (backup_id, tenant, root_version)
);
create index backup_roots_by_tenant on backup_roots (tenant, root_version);

-- Custody asks before it retires a root version and when it certifies an erasure; a replay of the ledger
-- tells a restored database of backups that were made after it.
grant select, insert, update on backups to pdvault_custodian;
grant select, insert, delete on backup_roots to pdvault_custodian;

-- Logs that ended: a database was restored that lacks entries which a checkpoint had covered. The log never
-- forks; another one, with another name, begins with the entries that were kept and names the old one's end.
create table audit_ended_logs (
    origin text not null primary key,
    -- Its newest checkpoint that is known, as it was signed.
    size bigint not null check (size > 0),
    root bytea not null check (octet_length(root) = 32),
    note text not null,
    -- How many leaves the log that follows has taken over, and its name.
    kept bigint not null check (kept >= 0),
    next_origin text not null check (next_origin <> origin),
    entry_id uuid not null,
    ended_at timestamptz not null default now()
);

-- What an ended log had signed; cosignatures are appended to the notes.
create table audit_past_checkpoints (
    origin text not null,
    size bigint not null check (size > 0),
    root bytea not null check (octet_length(root) = 32),
    note text not null,
    signed_at timestamptz not null,
    primary key (origin, size)
);

grant select on audit_ended_logs, audit_past_checkpoints to pdvault_audit_reader, pdvault_sequencer;
-- The ledger of erasures bears the name of the first log.
grant select on audit_ended_logs to pdvault_service, pdvault_custodian;
