-- name: check_role
-- What the service's own role could do that it must not.
select
    r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolbypassrls or r.rolreplication as has_attributes,
    has_schema_privilege('public', 'create') as can_create,
    has_table_privilege('public.audit_entries', 'select') as can_read_log,
    has_table_privilege('public.audit_entries', 'update')
        or has_table_privilege('public.audit_entries', 'delete')
        or has_table_privilege('public.audit_entries', 'truncate') as can_change_log,
    has_table_privilege('public.audit_entries', 'insert') as can_add_to_log,
    exists (
        select from unnest(
            array['audit_pending', 'audit_leaves', 'audit_tiles', 'audit_checkpoints', 'audit_cosignatures',
                'audit_key_successions']
        ) as t
        where has_table_privilege('public.' || t, 'select, insert, update, delete, truncate')
    ) as can_touch_tree,
    exists (
        select from pg_trigger
        where tgrelid = 'public.audit_entries'::regclass
            and tgname = 'audit_entries_pending'
            and tgenabled in ('O', 'A')
    ) as entries_become_pending
from pg_roles as r
where r.rolname = current_user;

-- name: check_settings
-- Settings without which "committed" does not mean durable.
select
    current_setting('fsync') = 'on' as fsync,
    current_setting('full_page_writes') = 'on' as full_page_writes,
    current_setting('synchronous_commit') <> 'off' as synchronous_commit,
    pg_is_in_recovery() as is_standby;

-- name: applied_migrations
-- What `pdvault migrate` has applied, in order.
select name, checksum from schema_migrations order by name;
