-- name: newest_applied
-- How far the ledger is applied.
select ledger_index, hash from ledger_applied order by ledger_index desc limit 1;

-- name: add_applied
-- One more line of the ledger is applied.
insert into ledger_applied (ledger_index, hash) values ($1, $2);

-- name: list_intents
-- Lines that were about to be added.
select ledger_index from ledger_intents;

-- name: add_intent
-- A line is about to be added.
insert into ledger_intents (ledger_index) values ($1) on conflict do nothing;

-- name: drop_intents
-- It was, or it was given up; older ones as well.
delete from ledger_intents where ledger_index <= $1;

-- name: lock_subject_keys
-- The keys of a subject, held until the transaction's end against whoever replaces them.
select key_version, root_version, wrapped from subject_keys where subject_id = $1 for update;

-- name: subject_since
-- When the vault met a subject.
select created_at from subjects where subject_id = $1;

-- name: delete_subject_keys
-- Without its keys nothing of a subject opens.
delete from subject_keys where subject_id = any($1::uuid[]);

-- name: delete_subject_refs
-- No reference leads to it any more.
delete from subject_refs where subject_id = any($1::uuid[]);

-- name: empty_envelopes
-- What can't be opened need not lie there.
update tokens set envelope = '' where subject_id = any($1::uuid[]) and envelope <> '';

-- name: count_subject_tokens
-- Tokens of a subject.
select count(*) from tokens where subject_id = $1;

-- name: add_erasure
-- What is certified.
insert into erasures (
    subject_id, erasure_id, tenant, cause, erased_at, ledger_index, ledger_hash, subject_since, root_versions,
    tokens, entry_id
) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict do nothing;

-- name: add_repeat
-- Remembers who was erased by a reference that is gone.
insert into erasure_repeats (key_digest, tenant, subject_id) values ($1, $2, $3)
on conflict (key_digest, tenant) do update set subject_id = excluded.subject_id, created_at = now();

-- name: find_repeat
-- Who was erased under this reference, by this caller.
select subject_id from erasure_repeats where key_digest = any($1::bytea[]) and tenant = $2
order by created_at desc
limit 1;

-- name: sweep_repeats
-- Forgets what is past its retention.
delete from erasure_repeats where created_at < now() - $1::interval;

-- name: notify_keys
-- Tells every process to forget.
select pg_notify('pdvault_keys', $1);

-- name: find_erasure_of_subject
-- The erasure of a subject.
select
    subject_id, erasure_id, tenant, cause, erased_at, ledger_index, ledger_hash, subject_since, root_versions,
    tokens, entry_id
from erasures
where subject_id = $1;

-- name: find_erasure
-- An erasure by its id.
select
    subject_id, erasure_id, tenant, cause, erased_at, ledger_index, ledger_hash, subject_since, root_versions,
    tokens, entry_id
from erasures
where erasure_id = $1;

-- name: find_erased
-- Which of these subjects were erased.
select subject_id from erasures where subject_id = any($1::uuid[]);

-- name: erased_lately
-- Subjects to look after: calls that were under way may have added to them.
select subject_id from erasures where erased_at > now() - $1::interval;

-- name: heartbeat
-- Whether the server still answers.
select 1;
