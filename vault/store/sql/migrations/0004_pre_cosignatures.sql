-- What witnesses cosigned (C2SP tlog-cosignature): one signature line each, to be appended to a checkpoint's
-- note. A table of its own, as a checkpoint is written once and its cosignatures come later.
create table audit_cosignatures (
    size bigint not null check (size > 0),
    witness text not null,
    line text not null,
    signed_at timestamptz not null,
    primary key (size, witness)
);

grant select, insert on audit_cosignatures to pdvault_sequencer;
grant select on audit_cosignatures to pdvault_audit_reader;
