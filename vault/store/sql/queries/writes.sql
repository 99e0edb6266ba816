-- name: claim_write
-- Takes an idempotency key, unless a write with it was done.
insert into writes (key_digest, tenant, request_digest, index_key_version, outcome)
values ($1, $2, $3, $4, $5)
on conflict do nothing
returning key_digest, tenant;

-- name: find_writes
-- What was done under these idempotency keys.
select key_digest, tenant, request_digest, outcome
from writes
where key_digest = any($1::bytea[]);

-- name: sweep_writes
-- Forgets idempotency keys past their retention, a bounded number at a time.
delete from writes
where key_digest in (
    select key_digest from writes where created_at < now() - $1::interval limit 10000
);
