-- name: find_open_job
-- The job of a kind that is under way or prepared, for a subject ($3) or for all (null).
select job_id, state from key_jobs
where tenant = $1 and kind = $2 and subject_id is not distinct from $3 and ended_at is null;

-- name: prepare_job
-- A job that nobody works on yet, unless one is there.
insert into key_jobs (
    job_id, tenant, kind, subject_id, key_name, from_version, to_version, cause, state, rows_per_second, started_by
)
values ($1, $2, $3, $4, $5, $6, $7, $8, 'prepared', $9, $10)
on conflict do nothing
returning job_id;

-- name: take_over_prepared_job
-- A prepared job whose caller went away before its entry was durable becomes this caller's.
update key_jobs
set key_name = $3, from_version = $4, to_version = $5, cause = $6, rows_per_second = $7, started_by = $8, started_at = now()
where tenant = $1 and job_id = $2 and state = 'prepared'
returning job_id;

-- name: start_job
-- Lets work on a prepared job begin.
update key_jobs set state = 'running', started_at = now(), moved_at = now()
where tenant = $1 and job_id = $2 and state = 'prepared';

-- name: find_job
-- One job of a tenant, with what its parts say. Shown states: a prepared job is not there yet.
select
    j.job_id, j.kind, j.tenant, j.key_name, j.from_version, j.to_version, j.subject_id, j.cause, j.state,
    j.phase, j.phase_number, case when j.waits_until > now() then j.waits_until end as waits_until, j.waits_for,
    j.rows_per_second, j.rows_total, j.started_by, j.started_at, j.moved_at, j.ended_at,
    coalesce(p.rows_done, 0)::bigint as rows_done, coalesce(p.rows_failed, 0)::bigint as rows_failed,
    coalesce(p.rate, 0)::float8 as rate, coalesce(p.workers, 0)::int as workers
from key_jobs as j
left join lateral (
    select sum(o.rows_done) as rows_done, sum(o.rows_failed) as rows_failed, sum(o.rate) as rate, count(o.worker) as workers
    from (
        select
            sum(rows_done) as rows_done, sum(rows_failed) as rows_failed,
            avg(rate) filter (where leased_until > now()) as rate,
            min(owner::text) filter (where leased_until > now()) as worker
        from key_job_parts where tenant = j.tenant and job_id = j.job_id
        group by case when leased_until > now() then owner end
    ) as o
) as p on true
where j.tenant = $1 and j.job_id = $2 and j.state <> 'prepared';

-- name: list_jobs
-- The newest jobs of a tenant, at most $2, as `find_job`.
select
    j.job_id, j.kind, j.tenant, j.key_name, j.from_version, j.to_version, j.subject_id, j.cause, j.state,
    j.phase, j.phase_number, case when j.waits_until > now() then j.waits_until end as waits_until, j.waits_for,
    j.rows_per_second, j.rows_total, j.started_by, j.started_at, j.moved_at, j.ended_at,
    coalesce(p.rows_done, 0)::bigint as rows_done, coalesce(p.rows_failed, 0)::bigint as rows_failed,
    coalesce(p.rate, 0)::float8 as rate, coalesce(p.workers, 0)::int as workers
from key_jobs as j
left join lateral (
    select sum(o.rows_done) as rows_done, sum(o.rows_failed) as rows_failed, sum(o.rate) as rate, count(o.worker) as workers
    from (
        select
            sum(rows_done) as rows_done, sum(rows_failed) as rows_failed,
            avg(rate) filter (where leased_until > now()) as rate,
            min(owner::text) filter (where leased_until > now()) as worker
        from key_job_parts where tenant = j.tenant and job_id = j.job_id
        group by case when leased_until > now() then owner end
    ) as o
) as p on true
where j.tenant = $1 and j.state <> 'prepared'
order by j.started_at desc, j.job_id
limit $2;

-- name: pause_job
-- Stops work on a running job; whoever is at it stops after its batch.
update key_jobs set state = 'paused' where tenant = $1 and job_id = $2 and state = 'running' returning job_id;

-- name: resume_job
-- Lets work on a paused job go on.
update key_jobs set state = 'running', moved_at = now(), waits_until = case when waits_for = 'caches' then waits_until end
where tenant = $1 and job_id = $2 and state = 'paused' returning job_id;

-- name: throttle_job
-- Another rate for a job that has not ended.
update key_jobs set rows_per_second = $3 where tenant = $1 and job_id = $2 and ended_at is null returning job_id;

-- name: pick_job
-- The job with a part to do that was served the longest ago.
select j.tenant, j.job_id from key_jobs as j
where j.state = 'running' and j.kind = any($1::text[]) and (j.waits_until is null or j.waits_until <= now())
    and exists (
        select from key_job_parts as p
        where p.tenant = j.tenant and p.job_id = j.job_id and not p.is_done
            and (p.leased_until is null or p.leased_until <= now())
    )
order by j.served_at
limit 1;

-- name: lease_part
-- Leases a free part of a job to process $3 for $4 seconds.
with free as (
    select p.part from key_job_parts as p
    where p.tenant = $1 and p.job_id = $2 and not p.is_done and (p.leased_until is null or p.leased_until <= now())
    order by p.part
    limit 1
    for update skip locked
), served as (
    update key_jobs set served_at = clock_timestamp()
    where tenant = $1 and job_id = $2 and exists (select from free)
    returning phase_number
)
update key_job_parts as p
set owner = $3, leased_until = now() + make_interval(secs => $4), rate = 0
from free, served
where p.tenant = $1 and p.job_id = $2 and p.part = free.part
returning p.part, p.cursor, served.phase_number;

-- name: advance_part
-- Notes a batch of a leased part, in the transaction that moved its rows; and how many processes are at work on the job.
-- No row: the lease is lost.
update key_job_parts as p
set cursor = $6, rows_done = p.rows_done + $7, rows_failed = p.rows_failed + $8, is_done = $9, rate = $10,
    leased_until = clock_timestamp() + make_interval(secs => $11) -- of a part that is done: who was at work lately
from key_jobs as j
where p.tenant = $1 and p.job_id = $2 and p.part = $3 and p.owner = $4 and not p.is_done and p.leased_until is not null
    and j.tenant = $1 and j.job_id = $2 and j.phase_number = $5
returning j.state = 'running' as is_running, j.rows_per_second,
    (select count(distinct o.owner)::int from key_job_parts as o where o.tenant = $1 and o.job_id = $2 and o.leased_until > now()) as workers;

-- name: note_movement
-- A job that was waiting for the key store moves again; kept apart, so that batches don't queue for the job's row.
update key_jobs
set moved_at = now(), waits_until = case when waits_for <> 'key_store' then waits_until end,
    waits_for = case when waits_for <> 'key_store' then waits_for else '' end
where tenant = $1 and job_id = $2 and (waits_for = 'key_store' or moved_at < now() - interval '5 seconds');

-- name: renew_part
-- Keeps a lease while the process pauses for the throttle. No row: it is lost.
update key_job_parts as p
set leased_until = clock_timestamp() + make_interval(secs => $6)
from key_jobs as j
where p.tenant = $1 and p.job_id = $2 and p.part = $3 and p.owner = $4 and not p.is_done and p.leased_until is not null
    and j.tenant = $1 and j.job_id = $2 and j.phase_number = $5
returning j.state = 'running' as is_running, j.rows_per_second,
    (select count(distinct o.owner)::int from key_job_parts as o where o.tenant = $1 and o.job_id = $2 and o.leased_until > now()) as workers;

-- name: release_part
-- Gives a part back before its lease runs out.
update key_job_parts set owner = null, leased_until = null, rate = 0
where tenant = $1 and job_id = $2 and part = $3 and owner = $4 and not is_done;

-- name: conduct_job
-- Takes hold, as process $1 for $2 seconds, of a job whose phase is over.
with ready as (
    select j.tenant, j.job_id from key_jobs as j
    where j.state = 'running' and j.kind = any($3::text[]) and (j.waits_until is null or j.waits_until <= now())
        and (j.conducted_until is null or j.conducted_until <= now())
        and not exists (
            select from key_job_parts as p where p.tenant = j.tenant and p.job_id = j.job_id and not p.is_done
        )
    order by j.served_at
    limit 1
    for update skip locked
)
update key_jobs as j
set conductor = $1, conducted_until = now() + make_interval(secs => $2), served_at = clock_timestamp()
from ready
where j.tenant = ready.tenant and j.job_id = ready.job_id
returning j.tenant, j.job_id;

-- name: enter_phase
-- The next phase of a job, if it is still in the one before and held by process $4.
update key_jobs
set phase = $5, phase_number = phase_number + 1, rows_total = rows_total + $6, to_version = coalesce($7, to_version),
    waits_until = case when $8::float8 > 0 then now() + make_interval(secs => $8::float8) end, waits_for = $9,
    conductor = null, conducted_until = null, moved_at = now()
where tenant = $1 and job_id = $2 and phase_number = $3 and conductor = $4 and state in ('running', 'paused')
returning job_id;

-- name: open_part
-- A part of the new phase.
insert into key_job_parts (tenant, job_id, part, is_done) values ($1, $2, $3, false)
on conflict (tenant, job_id, part) do update
set is_done = false, cursor = '', owner = null, leased_until = null, rate = 0,
    rows_failed = case when $4 then 0 else key_job_parts.rows_failed end;

-- name: let_go_of_job
-- The conductor gives a job back without a new phase.
update key_jobs set conductor = null, conducted_until = null where tenant = $1 and job_id = $2 and conductor = $3;

-- name: end_job
-- A job is over.
update key_jobs
set state = $5, ended_at = now(), phase = '', waits_until = null, waits_for = '', conductor = null, conducted_until = null
where tenant = $1 and job_id = $2 and phase_number = $3 and conductor = $4 and state in ('running', 'paused')
returning job_id;

-- name: stall_job
-- A job waits for the key store until then, unless it waits longer already.
update key_jobs set waits_until = now() + make_interval(secs => $3), waits_for = 'key_store'
where tenant = $1 and job_id = $2 and ended_at is null and (waits_until is null or waits_until < now());
