-- name: find_cases
-- The handle behind each case's digest.
select ref_digest, tenant, case_id
from case_refs
where ref_digest = any($1::bytea[]);

-- name: claim_case
-- Gives a case a handle, unless another process was first.
insert into case_refs (ref_digest, tenant, index_key_version, case_id)
values ($1, $2, $3, $4)
on conflict do nothing
returning ref_digest, tenant;
