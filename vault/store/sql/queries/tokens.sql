-- name: load_tokens
-- The labels and ciphertext behind each token that exists.
select token, tenant, subject_id, field_type, key_version, envelope
from tokens
where token = any($1::text[]);

-- name: load_subject_keys
-- The wrapped data keys of these subjects, all versions.
select subject_id, key_version, tenant, wrapped, root_version, key_salt, commitment
from subject_keys
where subject_id = any($1::uuid[]);
