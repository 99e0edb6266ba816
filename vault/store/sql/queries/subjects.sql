-- name: find_subjects
-- The handle behind each reference digest, and the newest data key of that subject.
select r.ref_digest, r.tenant, r.subject_id
from subject_refs as r
where r.ref_digest = any($1::bytea[]);

-- name: newest_key_versions
-- The data key that new values of each subject are sealed under.
select subject_id, max(key_version) as key_version
from subject_keys
where subject_id = any($1::uuid[])
group by subject_id;

-- name: claim_subject_ref
-- Binds a reference to a new handle, unless another process was first.
insert into subject_refs (ref_digest, tenant, index_key_version, subject_id)
values ($1, $2, $3, $4)
on conflict do nothing
returning ref_digest, tenant;

-- name: current_keys
-- The newest data key of each of these subjects, and the live index keys of these tenants.
select null::text as tenant, subject_id, max(key_version) as key_version
from subject_keys
where subject_id = any($1::uuid[])
group by subject_id
union all
select tenant, null::uuid, key_version
from tenant_keys
where tenant = any($2::text[]) and kind = 'index' and is_live;

-- name: commit_without_waiting
-- This transaction may be lost in a crash, unless a later one that waited was not.
set local synchronous_commit = off;

-- name: reserve_uses
-- Charges a key with seals to come, unless that is more than the limit.
update subject_keys set uses = uses + $3::bigint
where subject_id = $1 and key_version = $2 and uses <= $4::bigint - $3::bigint
returning subject_id, key_version, uses;

-- name: key_versions
-- The keys that these subjects have.
select subject_id, key_version
from subject_keys
where subject_id = any($1::uuid[]);

-- name: find_tenant_keys
-- A tenant's index keys, the oldest first.
select key_version, wrapped, root_version, commitment, is_live
from tenant_keys
where tenant = $1 and kind = 'index'
order by key_version;

-- name: claim_tenant_key
-- Stores a tenant's first index key, unless another process was first.
insert into tenant_keys (tenant, kind, key_version, wrapped, root_version, commitment)
values ($1, 'index', $2, $3, $4, $5)
on conflict do nothing;
