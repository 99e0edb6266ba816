-- Erasures, and how far the ledger outside the database is applied here. docs/erasure.md explains them.

-- Who was erased, by random handle. A token whose subject stands here answers ERASED. Distributed by subject_id.
create table erasures (
    subject_id uuid not null primary key,
    erasure_id uuid not null,
    tenant text not null,
    cause text not null,
    erased_at timestamptz not null,
    ledger_index bigint not null check (ledger_index > 0),
    ledger_hash bytea not null check (octet_length(ledger_hash) = 32),
    -- When the subject's first key was made; null: not known.
    subject_since timestamptz,
    -- Versions of the root key that wrapped the keys that were destroyed.
    root_versions int[] not null,
    tokens bigint not null check (tokens >= 0),
    -- The audit entry, recorded in the same transaction.
    entry_id uuid not null
);
create index erasures_by_id on erasures (erasure_id);
create index erasures_by_time on erasures (erased_at);

-- The ledger's lines that are applied, without gaps from 0 (its header). A database that was restored holds
-- fewer than the ledger. A reference table on Citus.
create table ledger_applied (
    ledger_index bigint not null primary key check (ledger_index >= 0),
    hash bytea not null check (octet_length(hash) = 32),
    applied_at timestamptz not null default now()
);

-- Lines that are about to be added. Whoever finds the ledger one line ahead learns here that an erasure was cut
-- off, and not a database restored.
create table ledger_intents (
    ledger_index bigint not null primary key check (ledger_index > 0),
    begun_at timestamptz not null default now()
);

-- For a day: erasures by reference, so that a repetition gets the same certificate though the reference is gone.
-- The digest is of caller and reference under the index key's subkey for repetitions. Distributed by key_digest.
create table erasure_repeats (
    key_digest bytea not null check (octet_length(key_digest) = 32),
    tenant text not null,
    subject_id uuid not null,
    created_at timestamptz not null default now(),
    primary key (key_digest, tenant)
);
create index erasure_repeats_by_age on erasure_repeats (created_at);

-- An erasure looks for all references of one subject.
create index subject_refs_by_subject on subject_refs (subject_id);

grant select on erasures, ledger_applied to pdvault_service;
grant select, insert on erasures, ledger_applied to pdvault_custodian;
grant select, insert, delete on ledger_intents to pdvault_custodian;
grant select, insert, update, delete on erasure_repeats to pdvault_custodian;
-- An erasure and its audit entry are one transaction. Insert only, as for the service.
grant insert on audit_entries to pdvault_custodian;
