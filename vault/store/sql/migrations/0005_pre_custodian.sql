-- The custodians' role: what turns keys, and nothing that reveals a value or touches the log's past.
-- docs/storage.md, "Roles", explains it.

-- How many seals a key has been charged with, in blocks reserved ahead (NIST SP 800-38D, 8.3, allows 2^32).
alter table subject_keys add column uses bigint not null default 0 check (uses >= 0);
grant update (uses) on subject_keys to pdvault_service;

-- What a verification, a rotation and a scheduler look for.
create index subject_keys_by_root on subject_keys (tenant, root_version);

grant usage on schema public to pdvault_custodian;
grant select on schema_migrations, subjects, subject_refs, subject_keys, tenant_keys, tokens, writes
    to pdvault_custodian;
-- Rewrap: the same key, wrapped under another version of its root key.
grant update (wrapped, root_version) on subject_keys, tenant_keys to pdvault_custodian;
-- New versions of index keys and data keys; old ones go once nothing needs them.
grant insert, delete on subject_keys, tenant_keys, subject_refs to pdvault_custodian;
-- Values sealed anew under a new data key; values of the erased emptied.
grant update (key_version, envelope) on tokens to pdvault_custodian;
