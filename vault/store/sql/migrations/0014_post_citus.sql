-- The layout on a Citus cluster (docs/storage.md, "On Citus"). Without the extension nothing happens; if it comes
-- later, or after shards have moved, the owner calls the function anew.
--
-- What grows with consumers is distributed, by what it is looked up by. The log stays on the coordinator: one
-- sequencer under one lock gives it its order, and its trigger fills audit_pending in the same transaction.
-- Erasures stay there as well, so that one shows at once wherever it is asked for.
create function distribute_over_citus() returns void
language plpgsql set search_path = public, pg_temp as $$
declare
    one record;
begin
    if not exists (select from pg_extension where extname = 'citus') then
        return;
    end if;
    -- One connection to each worker: the statements of one transaction see each other.
    set local citus.multi_shard_modify_mode = 'sequential';
    for one in
        select t.name, t.key, t.beside
        from (values
            (1, 'tokens', 'token', 'none'),
            (2, 'subjects', 'subject_id', 'none'),
            (3, 'subject_keys', 'subject_id', 'subjects'),
            (4, 'subject_refs', 'ref_digest', 'none'),
            (5, 'case_refs', 'ref_digest', 'subject_refs'),
            (6, 'writes', 'key_digest', 'none')
        ) as t (number, name, key, beside)
        where not exists (select from pg_dist_partition where logicalrelid = t.name::regclass)
        order by t.number
    loop
        perform create_distributed_table(one.name, one.key, colocate_with => one.beside);
    end loop;
end
$$;
revoke all on function distribute_over_citus() from public;
select distribute_over_citus();
