-- Where a key of the audit log vouches for the one that signs after it (docs/formats.md, "Key succession"):
-- a chain from the log's first key to today's, so that whoever trusts an old key can follow it.
create table audit_key_successions (
    origin text not null,
    -- The versions in Transit. Versions that never signed are passed over.
    version int not null check (version > predecessor),
    predecessor int not null check (predecessor > 0),
    -- Signed by the predecessor; names both keys.
    note text not null check (octet_length(note) <= 10000),
    made_at timestamptz not null default now(),
    primary key (origin, version),
    -- One successor each: the chain doesn't fork.
    unique (origin, predecessor)
);

-- Whoever signs the next checkpoint completes the chain; so does who rotates. Nobody changes it.
grant select, insert on audit_key_successions to pdvault_sequencer, pdvault_custodian;
grant select on audit_key_successions to pdvault_audit_reader;
