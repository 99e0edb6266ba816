-- name: database_time
-- Now, by the clock that requests expire by.
select clock_timestamp();

-- name: claim_act_key
-- Says which request an idempotency key stands for, unless it stands for one already.
insert into custody_request_keys (key_digest, tenant, request_id) values ($1, $2, $3)
on conflict do nothing
returning request_id;

-- name: find_act_by_key
-- The request that an idempotency key stands for.
select request_id from custody_request_keys where key_digest = $1 and tenant = $2;

-- name: add_act_request
-- Keeps a new request.
insert into custody_requests (
    request_id, tenant, act, cause, requested_by, requested_at, expires_at, digest
) values ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: find_act_request
-- One request, and the database's time.
select
    request_id, tenant, act, cause, requested_by, requested_at, expires_at, digest, approved_by, approved_at,
    approval_key_version, approval, withdrawn_by, withdrawn_at, done_by, done_at, clock_timestamp() as now
from custody_requests
where request_id = $1 and tenant = $2;

-- name: lock_act_request
-- The same; nobody else changes it before the transaction ends.
select
    request_id, tenant, act, cause, requested_by, requested_at, expires_at, digest, approved_by, approved_at,
    approval_key_version, approval, withdrawn_by, withdrawn_at, done_by, done_at, clock_timestamp() as now
from custody_requests
where request_id = $1 and tenant = $2
for update;

-- name: list_act_requests
-- A tenant's requests, the newest first; perhaps only those that can still be approved or carried out.
select
    request_id, tenant, act, cause, requested_by, requested_at, expires_at, digest, approved_by, approved_at,
    approval_key_version, approval, withdrawn_by, withdrawn_at, done_by, done_at, clock_timestamp() as now
from custody_requests
where
    tenant = $1
    and (not $2::boolean or (done_at is null and withdrawn_at is null and expires_at > clock_timestamp()))
order by requested_at desc, request_id
limit $3;

-- name: list_approved_acts
-- Approved requests with exactly this act, that could be carried out now, the oldest first.
select
    request_id, tenant, act, cause, requested_by, requested_at, expires_at, digest, approved_by, approved_at,
    approval_key_version, approval, withdrawn_by, withdrawn_at, done_by, done_at, clock_timestamp() as now
from custody_requests
where
    act = $1 and approved_at is not null and done_at is null and withdrawn_at is null
    and expires_at > clock_timestamp()
order by requested_at, request_id
limit 100;

-- name: approve_act_request
-- Keeps an approval of an open request by somebody else than who asked.
update custody_requests
set approved_by = $3, approved_at = $4, approval_key_version = $5, approval = $6
where
    request_id = $1 and digest = $2 and requested_by <> $3 and approved_at is null and done_at is null
    and withdrawn_at is null and expires_at > clock_timestamp()
returning request_id;

-- name: withdraw_act_request
-- Takes back a request that was not carried out.
update custody_requests
set withdrawn_by = $2, withdrawn_at = clock_timestamp()
where request_id = $1 and done_at is null and withdrawn_at is null
returning request_id;

-- name: use_act_request
-- Marks an approved request as carried out: once, in its time.
update custody_requests
set done_by = $3, done_at = clock_timestamp()
where
    request_id = $1 and digest = $2 and approved_at is not null and approved_by <> requested_by
    and done_at is null and withdrawn_at is null and expires_at > clock_timestamp()
returning request_id;

-- name: count_subject_keys_by_root
-- Wrapped data keys of a tenant within a range of subjects, by the root version that their text names; null where it names none.
select substring(wrapped from '^vault:v([1-9][0-9]{0,8}):')::int as version, count(*) as found
from subject_keys
where tenant = $1 and subject_id >= $2 and subject_id <= $3
group by 1;

-- name: count_tenant_keys_by_root
-- Wrapped index keys of a tenant, likewise.
select substring(wrapped from '^vault:v([1-9][0-9]{0,8}):')::int as version, count(*) as found
from tenant_keys
where tenant = $1
group by 1;
