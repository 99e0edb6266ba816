-- name: add_backup
-- Says that there is, or is about to be, a backup.
insert into backups (backup_id, kind, state, taken_at, covers_until, keep_until, label)
select $1, $2, $3, $4, $5, $6, $7
where $6 > now();

-- name: add_backup_roots
-- The root versions that wrap the keys that there are.
insert into backup_roots (backup_id, tenant, root_version, keys)
select $1, k.tenant, k.root_version, count(*)
from (
    select tenant, root_version from subject_keys
    union all
    select tenant, root_version from tenant_keys
) as k
group by k.tenant, k.root_version;

-- name: count_roots
-- The root versions that wrap the keys that there are, in one snapshot.
select k.tenant, k.root_version, count(*) as keys
from (
    select tenant, root_version from subject_keys
    union all
    select tenant, root_version from tenant_keys
) as k
group by k.tenant, k.root_version
order by k.tenant, k.root_version;

-- name: drop_backup_roots
-- Before the exact ones come.
delete from backup_roots where backup_id = $1;

-- name: learn_backup_root
-- One exact count.
insert into backup_roots (backup_id, tenant, root_version, keys) values ($1, $2, $3, $4)
on conflict (backup_id, tenant, root_version) do nothing;

-- name: finish_backup
-- The backup is whole and in its place.
update backups set state = 'kept', covers_until = $2, size = $3, sha256 = $4
where backup_id = $1 and state = 'unfinished';

-- name: end_backup
-- There is no such backup (any more).
update backups set state = $2 where backup_id = $1 and state in ('unfinished', 'kept');

-- name: learn_backup
-- A backup that the ledger knows. What is known here already stays, but that it is finished.
insert into backups (backup_id, kind, state, taken_at, covers_until, keep_until, label)
values ($1, $2, 'kept', $3, $4, $5, $6)
on conflict (backup_id) do update set state = 'kept', covers_until = excluded.covers_until
where backups.state = 'unfinished';

-- name: list_backups
-- All backups, the newest first.
select
    b.backup_id, b.kind, b.state, b.taken_at, b.covers_until, b.keep_until, b.size, b.sha256, b.label,
    coalesce(r.roots, '{}') as roots
from backups as b
left join (
    select backup_id, array_agg(tenant || ' ' || root_version || ' ' || keys order by tenant, root_version) as roots
    from backup_roots group by backup_id
) as r using (backup_id)
order by b.taken_at desc, b.backup_id
limit $1;

-- name: backups_needing
-- How many backups inside their window need each root version of a tenant.
select r.root_version, count(*) as backups
from backup_roots as r
join backups as b using (backup_id)
where r.tenant = $1 and b.state in ('unfinished', 'kept') and b.keep_until > now()
group by r.root_version
order by r.root_version;

-- name: latest_keep_until
-- Until when a backup may be kept that holds what was there from $1 (null: always) to $2.
select max(keep_until)
from backups
where state in ('unfinished', 'kept')
    and keep_until > $2
    and taken_at <= $2
    and ($1::timestamptz is null or coalesce(covers_until, 'infinity') >= $1);
