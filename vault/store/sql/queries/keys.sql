-- name: next_root_version
-- The lowest root version above $2 that a tenant's subject keys are noted under: one step along the index.
select min(root_version) from subject_keys where tenant = $1 and root_version > $2;

-- name: count_subject_keys_of_root
-- How many of a tenant's subject keys a root version wraps, counted up to $3.
select count(*) from (select 1 from subject_keys where tenant = $1 and root_version = $2 limit $3) as counted;

-- name: count_subject_keys_of_part
-- The same for one part of the subjects, all of it.
select count(*) from subject_keys where tenant = $1 and root_version = $2 and subject_id between $3 and $4;

-- name: tenant_keys_by_root
-- How many of a tenant's own keys each root version wraps.
select root_version, count(*) as rows from tenant_keys where tenant = $1 group by root_version;

-- name: subject_keys_to_rewrap
-- The next $7 subject keys of a part, behind ($3, $4), that version $2 of the root key wraps.
select subject_id, key_version, wrapped
from subject_keys
where tenant = $1 and root_version = $2 and (subject_id, key_version) > ($3::uuid, $4::int)
    and subject_id between $5 and $6
order by subject_id, key_version
limit $7;

-- name: tenant_keys_to_rewrap
-- A tenant's own keys that a root version below $2 wraps.
select kind, key_version, wrapped from tenant_keys where tenant = $1 and root_version < $2 order by kind, key_version;

-- name: rewrap_subject_key
-- Puts the new wrapping in place of the old, if that is still there.
update subject_keys set wrapped = $5, root_version = $6
where tenant = $1 and subject_id = $2 and key_version = $3 and wrapped = $4
returning key_version;

-- name: rewrap_tenant_key
-- The same for a tenant's own key.
update tenant_keys set wrapped = $5, root_version = $6
where tenant = $1 and kind = $2 and key_version = $3 and wrapped = $4
returning key_version;

-- name: read_subject_wrappings
-- The beginnings of a tenant's wrapped subject keys behind ($2, $3, $4), at most $5. A row only ever moves
-- towards the end of this order, so none is missed.
select root_version, subject_id, key_version, substring(wrapped for 24) as head
from subject_keys
where tenant = $1 and (root_version, subject_id, key_version) > ($2::int, $3::uuid, $4::int)
order by root_version, subject_id, key_version
limit $5;

-- name: read_tenant_wrappings
-- The beginnings of a tenant's own wrapped keys.
select root_version, substring(wrapped for 24) as head from tenant_keys where tenant = $1;

-- name: index_key_versions
-- A tenant's index keys.
select key_version, created_at from tenant_keys where tenant = $1 and kind = 'index' order by key_version;

-- name: count_refs_by_index_version
-- References by the version of the index key that they are digested with, counted up to $2.
select index_key_version, count(*) as rows
from (select index_key_version from subject_refs where tenant = $1 limit $2) as counted
group by index_key_version;

-- name: subject_key_facts
-- When the oldest of a tenant's subject keys was made, the most uses among those that are used much or
-- among $2 others, and how many are beyond $3 uses.
select
    (select created_at from subject_keys where tenant = $1 order by created_at limit 1) as oldest,
    greatest(
        (select uses from subject_keys where tenant = $1 and uses >= 1048576 order by uses desc limit 1),
        (select max(uses) from (select uses from subject_keys where tenant = $1 limit $2) as few),
        0
    ) as max_uses,
    (select count(*) from subject_keys where tenant = $1 and uses >= 1048576 and uses >= $3) as near_limit,
    coalesce((select max(key_version) from (select key_version from subject_keys where tenant = $1 limit $2) as few), 0) as version;

-- name: lead_schedule
-- Leadership of the schedule, for as long as this very connection lives.
select pg_try_advisory_lock($1);

-- name: unlead_schedule
-- Gives leadership up.
select pg_advisory_unlock($1);

-- name: still_leads_schedule
-- Whether this very connection lives.
select 1;
