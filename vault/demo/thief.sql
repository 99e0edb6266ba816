-- What the demo's thief asks the database, each statement after its name.

-- name: one_value
-- A value as it lies there, with its subject's key.
select t.token, t.field_type, t.envelope, k.wrapped
from tokens as t
join subject_keys as k on k.subject_id = t.subject_id and k.key_version = t.key_version
where t.token = $1;

-- name: tables
-- Those that hold rows: no views, and of a partitioned one its parts.
select relname from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace
order by relname;
