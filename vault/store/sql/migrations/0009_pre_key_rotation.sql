-- Rotation of index keys and of subjects' keys. docs/keys.md explains it.

-- The versions of an index key that rows are searched and stored under now; the others are but links of its chain.
alter table tenant_keys add column is_live boolean not null default true;
-- The version that the two digests belong to.
alter table writes add column index_key_version int not null default 1;

-- Digests under the next version are added, those under the one before removed.
grant update (is_live) on tenant_keys to pdvault_custodian;
grant insert, delete on writes to pdvault_custodian;
grant select, insert, delete on case_refs to pdvault_custodian;
