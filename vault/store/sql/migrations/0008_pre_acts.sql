-- Acts that take two custodians, and what policy bundles may reveal without asking them anew.

-- One row for each request. Who asked, what for and until when never change: the digest binds them, an
-- approval signs the digest, and no role but the owner may update these columns. Distributed by request_id.
create table custody_requests (
    request_id uuid not null primary key,
    tenant text not null,
    act bytea not null check (octet_length(act) between 3 and 4200),
    cause text not null,
    requested_by text not null check (requested_by <> ''),
    requested_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > requested_at),
    digest bytea not null check (octet_length(digest) = 32),
    approved_by text,
    approved_at timestamptz,
    approval_key_version int check (approval_key_version > 0),
    approval bytea check (octet_length(approval) = 64),
    withdrawn_by text,
    withdrawn_at timestamptz,
    done_by text,
    done_at timestamptz,
    -- Whoever asked can't approve.
    constraint custody_requests_two_people check (approved_by <> requested_by),
    constraint custody_requests_whole_approval check (
        num_nulls(approved_by, approved_at, approval_key_version, approval) in (0, 4)
    ),
    constraint custody_requests_in_time check (approved_at < expires_at),
    constraint custody_requests_only_approved check (done_at is null or approved_at is not null),
    constraint custody_requests_one_end check (done_at is null or withdrawn_at is null)
);
create index custody_requests_newest on custody_requests (tenant, requested_at desc);

-- A request that is repeated is the same request. A table of its own, as its key is another one to distribute by.
create table custody_request_keys (
    key_digest bytea not null check (octet_length(key_digest) = 32),
    tenant text not null,
    request_id uuid not null,
    primary key (key_digest, tenant)
);

grant select, insert on custody_requests, custody_request_keys to pdvault_custodian;
grant update (
    approved_by, approved_at, approval_key_version, approval, withdrawn_by, withdrawn_at, done_by, done_at
) on custody_requests to pdvault_custodian;

-- What accepted policy bundles reveal, the newest last (docs/custody.md, "Policy that widens"). Insert-only.
create table policy_accepted (
    number int not null primary key check (number > 0),
    digest bytea not null check (octet_length(digest) = 32),
    reach bytea not null,
    accepted_at timestamptz not null default now(),
    -- The request that let it; none where it reveals no more than the one before, or is the first.
    request_id uuid
);
grant select on policy_accepted to pdvault_service;
grant select, insert on policy_accepted to pdvault_custodian;
