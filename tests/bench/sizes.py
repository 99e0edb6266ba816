"""Bytes and write-ahead log of a token, a subject, an entry and a leaf, on the embedded PostgreSQL.

    python -m tests.bench.sizes [--subjects 40000]

Fills a vault with consumers of five tokens each (the vault's own code, by COPY), has the service
reveal every order once, which leaves an entry each, and tokenise some more. `docs/scale.md`
works with what it prints. Minutes on two cores; other load does not change bytes.
"""

import argparse
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.children import Child
from tests.bench.dataset import PURPOSE, Order, make_orders, tokenize_request
from tests.bench.house import House
from tests.bench.measure import SETTINGS
from vault.embedded.postgres import DATABASE, OWNER
from vault.v1 import tokens_pb2, tokens_pb2_grpc, types_pb2

TOKENS_EACH = 5
_ORDERS_A_CALL = 20
_NEW_ORDERS = 1000
_LOAD_S = 3600.0
_SEQUENCED_S = 300.0

_SIZES = """
select json_agg(json_build_object(
    'relation', c.relname, 'rows', c.reltuples,
    'heap', pg_relation_size(c.oid),
    'toast', coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0),
    'indexes', (
        select json_object_agg(i.relname, pg_relation_size(i.oid) order by i.relname)
        from pg_index as x join pg_class as i on i.oid = x.indexrelid where x.indrelid = c.oid
    )
) order by c.relname)::text
from pg_class as c
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.reltuples >= 1000
"""
_WAL = "select json_build_object('bytes', wal_bytes, 'images', wal_fpi)::text from pg_stat_wal"
_BYTES = "substring(sha256(token::bytea) for 16)"
"""As many bytes as a token's random part has."""
_REST = "tenant, subject_id, field_type, key_version, envelope, created_at"
# Of each other layout, the columns; the first is the primary key.
_LAYOUTS = {
    "as it is": f"token, {_REST}",
    "token as bytea": f"{_BYTES} as token, {_REST}",
    "token as uuid": f"encode({_BYTES}, 'hex')::uuid as token, {_REST}",
    "token as uuid; tenant, field type as smallint": f"""
        encode({_BYTES}, 'hex')::uuid as token, subject_id, created_at, key_version,
        1::smallint as tenant, 1::smallint as field_type, envelope
    """,
}
# In random order, so that an index is as full as one that grew.
_LAYOUT = """
drop table if exists layout;
create table layout as select {columns} from tokens limit 0;
alter table layout add primary key (token);
insert into layout select {columns} from tokens order by md5(token);
"""
_TOKENS = """
select json_agg(each)::text
from (select json_agg(token) as each from tokens group by subject_id) as of_subject
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sizes", description=__doc__)
    parser.add_argument("--subjects", type=int, default=40_000)
    subjects = parser.parse_args().subjects
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="pdvault-sizes-") as folder:
        house = House(Path(folder), say=console.print)
        with house, house.vault("vault", SETTINGS):
            result = _measure(house, subjects)
    _show(result)
    print(json.dumps(result))


def _measure(house: House, subjects: int) -> dict[str, Any]:
    tokens = subjects * TOKENS_EACH
    wal: dict[str, Any] = {}
    house.say(f"filling {tokens:,} tokens of {subjects:,} subjects")
    with _written(house, wal, "COPY, a token", tokens):
        orders = _fill(house, subjects)
    with _written(house, wal, "vacuum (freeze), a token", tokens):
        house.sql("vacuum (freeze, analyze) tokens")
        house.sql("vacuum (freeze, analyze) subjects")
        house.sql("vacuum (freeze, analyze) subject_refs")
        house.sql("vacuum (freeze, analyze) subject_keys")
    house.say("revealing every order once")
    with _written(house, wal, "reveal, 20 entries a call, an entry with its leaf", subjects):
        for at in range(0, len(orders), _ORDERS_A_CALL):
            _reveal(house, orders[at : at + _ORDERS_A_CALL])
        _wait_until_sequenced(house)
    with _written(house, wal, "reveal, a call each, an entry with its leaf", _NEW_ORDERS):
        for order in orders[:_NEW_ORDERS]:
            _reveal(house, [order])
        _wait_until_sequenced(house)
    new = make_orders(2 * _NEW_ORDERS, seed=77)
    house.instance.postgres.execute("checkpoint", database=DATABASE)
    with _written(house, wal, "tokenise after a checkpoint, a token", _NEW_ORDERS * TOKENS_EACH):
        _tokenize(house, new[:_NEW_ORDERS])
        _wait_until_sequenced(house)
    with _written(house, wal, "tokenise later, a token", _NEW_ORDERS * TOKENS_EACH):
        _tokenize(house, new[_NEW_ORDERS:])
        _wait_until_sequenced(house)
    house.sql("vacuum analyze")
    return {
        "postgres": house.sql("select current_setting('server_version')"),
        "tables": json.loads(house.sql(_SIZES)),
        "wal": wal,
        "layouts": _layouts(house),
    }


def _fill(house: House, subjects: int) -> list[list[str]]:
    """The tokens of each subject."""
    order = {
        "config": str(house.settings.state / "bench-vault.toml"),
        "url": house.instance.postgres.url(OWNER),
        "subjects": subjects,
        "tokens_each": TOKENS_EACH,
        "seed": 100,
        "sample": 1,
    }
    with Child("loader", ("tests.bench.loader",), house.folder) as loader:
        loader.ask(order, _LOAD_S)
    return json.loads(house.sql(_TOKENS))


@contextmanager
def _written(house: House, wal: dict[str, Any], name: str, count: int) -> Iterator[None]:
    """What the block writes ahead, by the piece: bytes, and images of whole pages."""
    before = json.loads(house.sql(_WAL))
    yield
    after = json.loads(house.sql(_WAL))
    for _ in range(20):  # each backend reports when it is idle for a second
        time.sleep(0.5)
        before_pause, after = after, json.loads(house.sql(_WAL))
        if before_pause == after:
            break
    wal[name] = {key: round((after[key] - before[key]) / count, 3) for key in after}


def _reveal(house: House, orders: list[list[str]]) -> None:
    request = tokens_pb2.DetokenizeRequest(
        purpose=PURPOSE,
        items=[tokens_pb2.DetokenizeItem(token=token) for order in orders for token in order],
    )
    answer = _stub(house, "shipping").Detokenize(request, timeout=60)
    assert {types_pb2.VERDICT_ALLOWED} == {result.verdict for result in answer.items}


def _tokenize(house: House, orders: list[Order]) -> None:
    """A call each, as a shop does."""
    for order in orders:
        request = tokenize_request([order])
        request.idempotency_key = uuid.uuid4().hex
        _stub(house, "order").Tokenize(request, timeout=60)


_stubs: dict[str, tokens_pb2_grpc.TokenServiceStub] = {}


def _stub(house: House, client: str) -> tokens_pb2_grpc.TokenServiceStub:
    if client not in _stubs:
        _stubs[client] = tokens_pb2_grpc.TokenServiceStub(house.channel(client))
    return _stubs[client]


def _wait_until_sequenced(house: House) -> None:
    until = time.monotonic() + _SEQUENCED_S
    while house.sql("select exists (select from audit_pending)"):
        assert time.monotonic() < until, "the sequencer does not come after"
        time.sleep(0.5)


def _layouts(house: House) -> dict[str, dict[str, float]]:
    """Bytes of a token's row and of its primary key, for other types of columns."""
    count = house.sql("select count(*) from tokens")
    found = {}
    for name, columns in _LAYOUTS.items():
        house.instance.postgres.execute(_LAYOUT.format(columns=columns), database=DATABASE)
        found[name] = {
            "heap": round(house.sql("select pg_relation_size('layout')") / count, 1),
            "primary key": round(house.sql("select pg_relation_size('layout_pkey')") / count, 1),
        }
    return found


def _show(result: dict[str, Any]) -> None:
    console = Console(file=sys.stderr, width=110)
    table = Table("relation", "rows", "heap", "TOAST", "indexes", title="Bytes a row")
    for each in result["tables"]:
        rows = each["rows"]
        table.add_row(
            each["relation"],
            f"{rows:,.0f}",
            f"{each['heap'] / rows:.1f}",
            f"{each['toast'] / rows:.1f}",
            "\n".join(f"{name} {size / rows:.1f}" for name, size in each["indexes"].items()),
        )
    console.print(table)
    table = Table("what, by the piece", "bytes", "page images", title="Write-ahead log")
    for name, each in result["wal"].items():
        table.add_row(name, f"{each['bytes']:.0f}", f"{each['images']:.3f}")
    console.print(table)
    table = Table("table of tokens", "heap", "primary key", title="Other layouts, bytes a token")
    for name, each in result["layouts"].items():
        table.add_row(name, str(each["heap"]), str(each["primary key"]))
    console.print(table)


if __name__ == "__main__":
    main()
