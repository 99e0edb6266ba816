-- name: key_successions
-- The chain of a log's keys, the oldest first.
select version, predecessor, note, made_at
from audit_key_successions
where origin = $1
order by version;

-- name: add_key_succession
-- Keeps a step, unless its old key has vouched for one already.
insert into audit_key_successions (origin, version, predecessor, note)
values ($1, $2, $3, $4)
on conflict do nothing;
