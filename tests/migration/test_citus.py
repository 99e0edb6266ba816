"""The migration for Citus: nothing without the extension; with it, what it asks for.

In place of the extension: a function of the same name, and a row in the catalogue. On a real
cluster it was run by hand (docs/storage.md).
"""

from collections.abc import Iterator

import asyncpg
import pytest

from tests.support.embedded import DatabaseUrls, fresh_database
from vault.embedded import EmbeddedInstance
from vault.store.migrate import migrate

_SCHEMA = """
select c.relname, c.relkind, c.relacl::text, array(
    select a.attname || ' ' || a.atttypid::regtype from pg_attribute as a
    where a.attrelid = c.oid and a.attnum > 0 order by a.attnum
)
from pg_class as c where c.relnamespace = 'public'::regnamespace order by c.relname
"""
_STAND_IN = """
create table pg_catalog.pg_dist_partition (logicalrelid regclass, key text, beside text);
grant select, insert on pg_catalog.pg_dist_partition to public;
create function pg_catalog.create_distributed_table(name regclass, key text, colocate_with text)
returns void language sql as 'insert into pg_dist_partition values ($1, $2, $3)';
insert into pg_extension select oid, 'citus', 10, 11, false, '13.2', null, null
from pg_proc where proname = 'create_distributed_table';
"""
LAYOUT = {
    ("tokens", "token", "none"),
    ("subjects", "subject_id", "none"),
    ("subject_keys", "subject_id", "subjects"),
    ("subject_refs", "ref_digest", "none"),
    ("case_refs", "ref_digest", "subject_refs"),
    ("writes", "key_digest", "none"),
}


@pytest.fixture
def urls(instance: EmbeddedInstance) -> Iterator[DatabaseUrls]:
    with fresh_database(instance) as database:
        yield database


async def fetch(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def test_without_the_extension_it_changes_nothing(urls):
    await migrate(urls.owner)
    before = await fetch(urls.owner, _SCHEMA)
    await fetch(urls.owner, "select distribute_over_citus()")
    assert before == await fetch(urls.owner, _SCHEMA)


async def test_only_the_owner_may_distribute(urls):
    await migrate(urls.owner)
    for url in (urls.service, urls.audit_reader, urls.sequencer, urls.custodian):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await fetch(url, "select distribute_over_citus()")


async def test_each_unique_key_holds_the_column_of_distribution(urls):
    """Else Citus refuses the table."""
    await migrate(urls.owner)
    rows = await fetch(
        urls.owner,
        "select i.indrelid::regclass::text, array(select a.attname::text from pg_attribute as a"
        " where a.attrelid = i.indrelid and a.attnum = any(i.indkey)) from pg_index as i"
        " where i.indisunique",
    )
    columns = {name: column for name, column, _ in LAYOUT}
    unique = [(name, keys) for name, keys in rows if name in columns]
    assert columns.keys() == {name for name, _ in unique}
    assert [] == [(name, keys) for name, keys in unique if columns[str(name)] not in keys]


async def test_with_the_extension_it_distributes_each_table_once(instance, urls):
    await migrate(urls.owner)
    stand_in = f"set allow_system_table_mods = on; {_STAND_IN}"
    instance.postgres.execute(stand_in, database=urls.name)
    for _ in range(2):
        await fetch(urls.owner, "select distribute_over_citus()")
        rows = await fetch(
            urls.owner, "select logicalrelid::text, key, beside from pg_dist_partition"
        )
        assert len(LAYOUT) == len(rows)
        assert LAYOUT == set(rows)
