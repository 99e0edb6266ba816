"""Growth: the same load on a vault with many tokens and on one with few, side by side.

Each has a database and a service of its own; the load asks for as many different orders of
either, spread over the whole of it, so that what differs is the size of tables and indexes.
"""

import asyncio
import json
import time
from contextlib import ExitStack
from typing import Any

from tests.bench.children import Child
from tests.bench.dataset import Order, Pools
from tests.bench.measure import SETTINGS, Bench, Job
from vault.embedded.postgres import OWNER
from vault.store.migrate import migrate

TOKENS_EACH = 10
"""Tokens of one subject: two orders of five fields."""
_LOADERS = 2
"""As many as cores; one for a small store, which is filled before a second has started."""
_SMALL = 10_000
# Built after the rows, which is several times as fast; the definitions are the schema's own.
_INDEXES = """
select coalesce(json_agg(json_build_object(
    'name', i.indexrelid::regclass::text, 'definition', pg_get_indexdef(i.indexrelid),
    'constraint', c.conname
))::text, '[]')
from pg_index as i left join pg_constraint as c on c.conindid = i.indexrelid
where i.indrelid = 'tokens'::regclass
"""


def grow(bench: Bench, tokens: int) -> None:
    """Fills both, measures in turns, and writes down the bytes of a token."""
    rows: dict[str, Any] = {}
    with ExitStack() as stack:
        samples = {}
        for name, count in (("small", min(_SMALL, tokens)), ("large", tokens)):
            began = time.monotonic()
            samples[name] = _fill(bench, name, count, stack)
            spent = time.monotonic() - began
            rows[f"{name} store"] = _sizes(bench, f"growth_{name}", count) | {
                "tokens": count,
                "filled_s": round(spent, 1),
            }
            bench.say(f"{name}: {count:,} tokens in {spent:.0f} s")
        pools = Pools(bench.house.pools)
        jobs = {}
        for name, orders in samples.items():
            for size, callers in ((1, 32), (5, 32)):
                pool = pools.detokenize(f"growth-{name}-{size}", orders, size)
                jobs[f"{name}, {size}"] = Job(f"growth_{name}", pool, callers)
            known = pools.tokenize(f"growth-{name}-tok", orders, subjects=1, new=False)
            jobs[f"{name}, tokenise"] = Job.tokenize(f"growth_{name}", known, 32)
        # Keys and pages into memory.
        for name in samples:
            bench.run(jobs[f"{name}, 5"], 4 * bench.size.slice_s)
        found = bench.rounds(jobs)
    bench.keep("growth", found)
    bench.ratio("growth", found["large, 5"], found["small, 5"])
    bench.scenarios["growth"] |= rows


def _fill(bench: Bench, name: str, tokens: int, stack: ExitStack) -> list[Order]:
    """Makes database `growth_NAME`, starts its service, fills it; orders spread over it."""
    house = bench.house
    database = f"growth_{name}"
    postgres = house.instance.postgres
    postgres.create_database(database)
    asyncio.run(migrate(postgres.url(OWNER, database)))
    # First the service: it makes the tenant's index key.
    stack.enter_context(house.vault(database, SETTINGS, database=database))
    config = house.settings.state / f"bench-{database}.toml"
    indexes = json.loads(house.sql(_INDEXES, database=database))
    for index in indexes:
        drop = (
            f"alter table tokens drop constraint {index['constraint']}"
            if index["constraint"]
            else f"drop index {index['name']}"
        )
        house.sql(drop, database=database)
    sample: list[Order] = []
    count = _LOADERS if tokens > _SMALL else 1
    each = tokens // TOKENS_EACH // count
    with ExitStack() as loaders:
        children = [
            loaders.enter_context(Child(f"loader{n}", ("tests.bench.loader",), house.folder))
            for n in range(count)
        ]
        for number, child in enumerate(children):
            order = {
                "config": str(config),
                "url": postgres.url(OWNER, database),
                "subjects": each,
                "tokens_each": TOKENS_EACH,
                "seed": 100 + number,
                "sample": max(1, bench.size.orders // count),
            }
            child.tell(json.dumps(order))
        for child in children:
            answer = child.hear(3600)
            sample += [Order(ref, tuple(v), tuple(t)) for ref, v, t in answer["sample"]]
    for index in indexes:
        build = index["definition"]
        house.sql(build, database=database)
        if index["constraint"]:
            house.sql(
                f"alter table tokens add constraint {index['constraint']} "
                f"primary key using index {index['name']}",
                database=database,
            )
    house.sql("vacuum analyze", database=database)
    return sample


def _sizes(bench: Bench, database: str, tokens: int) -> dict[str, float]:
    """Bytes of each token, with indexes, and of each subject's key and reference."""
    sql = bench.house.sql
    subjects = tokens // TOKENS_EACH
    return {
        "bytes_per_token": round(
            sql("select pg_total_relation_size('tokens')", database=database) / tokens, 1
        ),
        "bytes_per_subject": round(
            sum(
                sql(f"select pg_total_relation_size('{table}')", database=database)
                for table in ("subjects", "subject_refs", "subject_keys")
            )
            / subjects,
            1,
        ),
    }


def entry_sizes(bench: Bench) -> None:
    """Bytes of each entry of the main vault's log: rows, indexes, leaves and tiles."""
    sql = bench.house.sql
    entries = sql("select count(*) from audit_entries")
    rows = sql("select sum(pg_total_relation_size(relid)) from pg_partition_tree('audit_entries')")
    tree = sum(
        sql(f"select pg_total_relation_size('{table}')")
        for table in ("audit_leaves", "audit_tiles")
    )
    bench.scenarios["log"] = {
        "entries": entries,
        "bytes_per_entry": round(float(rows) / entries, 1),
        "bytes_per_entry_tree": round(tree / entries, 1),
    }
