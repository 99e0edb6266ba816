-- Jobs that move rows from one version of a key to the next. docs/keys.md explains them.

-- Distributed by tenant. State `prepared`: the audit entry is not durable yet, so nobody works on it.
create table key_jobs (
    job_id uuid not null,
    tenant text not null,
    kind text not null check (kind in ('root', 'index', 'subject')),
    subject_id uuid,
    key_name text not null,
    from_version int not null check (from_version > 0),
    to_version int not null check (to_version >= from_version),
    cause text not null,
    state text not null check (state in ('prepared', 'running', 'paused', 'done', 'failed')),
    phase text not null default '',
    phase_number int not null default 0,
    waits_until timestamptz,
    waits_for text not null default '' check (waits_for in ('', 'caches', 'key_store')),
    rows_per_second int not null check (rows_per_second >= 0),
    rows_total bigint not null default 0,
    conductor uuid,
    conducted_until timestamptz,
    served_at timestamptz not null default now(),
    moved_at timestamptz not null default now(),
    started_by text not null,
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    primary key (tenant, job_id),
    check ((ended_at is null) = (state in ('prepared', 'running', 'paused')))
);
-- One job of a kind at a time.
create unique index key_jobs_under_way on key_jobs (tenant, kind, subject_id) nulls not distinct
    where ended_at is null;
create index key_jobs_by_age on key_jobs (tenant, started_at);

-- Beside key_jobs.
create table key_job_parts (
    job_id uuid not null,
    tenant text not null,
    part smallint not null check (part between 0 and 63),
    is_done boolean not null default true,
    cursor bytea not null default '',
    rows_done bigint not null default 0,
    rows_failed bigint not null default 0,
    owner uuid,
    leased_until timestamptz,
    rate real not null default 0,
    primary key (tenant, job_id, part)
);

grant select, insert, update on key_jobs, key_job_parts to pdvault_custodian;

-- Rows by the root version that they need, in order of their ids: what a rotation walks along.
drop index subject_keys_by_root;
create index subject_keys_by_root on subject_keys (tenant, root_version, subject_id, key_version);

-- What status looks for: the oldest key, and keys that were used a great deal.
create index subject_keys_by_age on subject_keys (tenant, created_at);
create index subject_keys_by_uses on subject_keys (tenant, uses) where uses >= 1048576;
