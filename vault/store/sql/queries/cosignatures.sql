-- name: add_cosignature
-- Keeps a witness's cosignature; the first one of a checkpoint stays.
insert into audit_cosignatures (size, witness, line, signed_at) values ($1, $2, $3, $4)
on conflict do nothing;

-- name: cosigned_checkpoint
-- The newest checkpoint with its cosignatures: of those that are at most 5 seconds older than the newest, the
-- newest with at least $1 of them; if there is none, the newest. With the chain of the log's keys.
with recent as (
    select size, root, note, signed_at from audit_checkpoints order by size desc limit 64
)
select
    r.size,
    r.root,
    r.note || coalesce(
        (select string_agg(c.line, '' order by c.witness) from audit_cosignatures as c where c.size = r.size), ''
    ) as note,
    r.signed_at,
    array(
        select s.note from audit_key_successions as s
        where s.origin = split_part(r.note, E'\n', 1)
        order by s.version
    ) as successions
from recent as r
where r.signed_at >= (select max(signed_at) - interval '5 seconds' from recent)
order by (select count(*) from audit_cosignatures as c where c.size = r.size) >= $1 desc, r.size desc
limit 1;
