-- name: add_index_key
-- Announces the next version of an index key, unless it is there.
insert into tenant_keys (tenant, kind, key_version, wrapped, root_version, commitment)
values ($1, 'index', $2, $3, $4, $5)
on conflict do nothing;

-- name: retire_index_keys
-- Versions before $2 are searched and stored under no more, provided that $2 is there.
update tenant_keys set is_live = false
where tenant = $1 and kind = 'index' and key_version < $2 and is_live
    and exists (
        select from tenant_keys as n
        where n.tenant = $1 and n.kind = 'index' and n.key_version = $2 and n.is_live
    );

-- name: writing_transactions
-- Transactions of this database that have a number and have not ended. Each holds the lock of its number until its end.
select l.transactionid::text as number
from pg_locks as l
left join pg_stat_activity as a on a.pid = l.pid
left join pg_prepared_xacts as p on p.transaction = l.transactionid
where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and l.granted
    and coalesce(a.datname, p.database) = current_database();

-- name: count_refs_of_version
-- References in a range of digests that are digested with this version.
select count(*) from subject_refs
where tenant = $1 and index_key_version = $2 and ref_digest > $3 and ref_digest < $4;

-- name: count_cases_of_version
-- The same of cases.
select count(*) from case_refs
where tenant = $1 and index_key_version = $2 and ref_digest > $3 and ref_digest < $4;

-- name: count_writes_of_version
-- The same of idempotency keys.
select count(*) from writes
where tenant = $1 and index_key_version = $2 and key_digest > $3 and key_digest < $4;

-- name: refs_of_version
-- The next references of a range, in order of digest.
select ref_digest, subject_id, created_at from subject_refs
where tenant = $1 and index_key_version = $2 and ref_digest > $3 and ref_digest < $4
order by ref_digest
limit $5;

-- name: cases_of_version
-- The next cases of a range.
select ref_digest, case_id, created_at from case_refs
where tenant = $1 and index_key_version = $2 and ref_digest > $3 and ref_digest < $4
order by ref_digest
limit $5;

-- name: writes_of_version
-- The next idempotency keys of a range.
select key_digest, request_digest, outcome, created_at from writes
where tenant = $1 and index_key_version = $2 and key_digest > $3 and key_digest < $4
order by key_digest
limit $5;

-- name: repeats_of_tenant
-- Erasures that a caller may ask for once more.
select key_digest, subject_id, created_at from erasure_repeats where tenant = $1;

-- name: hold_subjects
-- A subject, if it is not erased; and it is not while this transaction lasts.
select subject_id from subject_keys
where subject_id = $1
order by key_version
for key share;

-- name: layer_ref
-- A reference under the next version.
insert into subject_refs (ref_digest, tenant, index_key_version, subject_id, created_at)
values ($1, $2, $3, $4, $5)
on conflict do nothing;

-- name: layer_case
-- A case under the next version.
insert into case_refs (ref_digest, tenant, index_key_version, case_id, created_at)
values ($1, $2, $3, $4, $5)
on conflict do nothing;

-- name: layer_write
-- An idempotency key under the next version.
insert into writes (key_digest, tenant, index_key_version, request_digest, outcome, created_at)
values ($1, $2, $3, $4, $5, $6)
on conflict do nothing;

-- name: layer_repeat
-- A repetition under the next version.
insert into erasure_repeats (key_digest, tenant, subject_id, created_at)
values ($1, $2, $3, $4)
on conflict do nothing;

-- name: remove_refs
-- References under a version that nobody looks for any more.
delete from subject_refs where tenant = $1 and index_key_version = $2 and ref_digest = any($3::bytea[]);

-- name: remove_cases
-- The same of cases.
delete from case_refs where tenant = $1 and index_key_version = $2 and ref_digest = any($3::bytea[]);

-- name: remove_writes
-- The same of idempotency keys.
delete from writes where tenant = $1 and index_key_version = $2 and key_digest = any($3::bytea[]);

-- name: count_subjects
-- Subjects of a range, and their highest key version.
select count(distinct subject_id) as subjects, coalesce(max(key_version), 0) as version
from subject_keys
where tenant = $1 and subject_id between $2 and $3;

-- name: subject_of_refs
-- The subject behind a reference.
select subject_id from subject_refs where ref_digest = any($1::bytea[]) and tenant = $2 limit 1;

-- name: newest_version_of
-- The newest key of one subject.
select max(key_version) from subject_keys where subject_id = $1 and tenant = $2;

-- name: subjects_to_reseal
-- The next subjects of a range; $6: whose newest key is older than this.
select subject_id
from subject_keys
where tenant = $1 and subject_id > $2 and subject_id <= $3 and ($4::uuid is null or subject_id = $4)
group by subject_id
having max(created_at) < $6
order by subject_id
limit $5;

-- name: subjects_with_old_keys
-- The next subjects of a range that have more than one key.
select subject_id
from subject_keys
where tenant = $1 and subject_id > $2 and subject_id <= $3 and ($4::uuid is null or subject_id = $4)
group by subject_id
having count(*) > 1
order by subject_id
limit $5;

-- name: hold_keys_of_subjects
-- The keys of a subject, held against erasure and against others that replace them.
select subject_id, key_version from subject_keys
where subject_id = $1
order by key_version
for update;

-- name: tokens_of_subjects
-- All values of subjects.
select token, tenant, subject_id, field_type, key_version, envelope
from tokens
where subject_id = any($1::uuid[]) and envelope <> '';

-- name: reseal_token
-- A value under its subject's new key, unless it changed meanwhile.
update tokens set key_version = $3, envelope = $4
where token = $1 and key_version = $2;

-- name: charge_key
-- Seals that a key has made here.
update subject_keys set uses = uses + $3 where subject_id = $1 and key_version = $2;

-- name: remove_subject_key
-- A key that nothing is sealed under any more.
delete from subject_keys where subject_id = $1 and key_version = $2;
