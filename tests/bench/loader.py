"""Fills a vault's database with consistent rows, made by the vault's own code, by binary COPY.

    python -m tests.bench.loader

Reads one order as a line of JSON: {"config", "url", "subjects", "tokens_each", "seed",
"sample"}; answers with the sampled orders [[ref, values, tokens], …] once all is stored.
Several of it work side by side, each with a seed of its own.
"""

import asyncio
import json
import secrets
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from tests.bench.dataset import FIELD_TYPES, Order, make_orders
from vault.app.parts import transit_settings
from vault.clock import SystemClock
from vault.config import Config, load_config
from vault.config_files import read_secret
from vault.crypto.aead import SubjectKey, new_data_key
from vault.crypto.binding import field_aad, key_context
from vault.crypto.index_key import IndexChain
from vault.crypto.tokens import new_token
from vault.crypto.transit import Transit, WrapItem, Wrapped
from vault.model import SubjectId, TenantId
from vault.policy.load import load_bundle
from vault.service.index_keys import IndexKeys
from vault.store.database import Database, PoolSettings
from vault.store.values import ValueStore

TENANT = TenantId("demo-shop")
_CHUNK = 2000
"""Subjects in one transaction."""


async def _load(order: dict[str, Any]) -> list[list[object]]:
    config = await asyncio.to_thread(load_config, Path(order["config"]))
    transit = Transit(transit_settings(config))
    await transit.open([TENANT])
    database = Database(
        PoolSettings(
            url=read_secret(config.database.url_file).strip(),
            max_connections=1,
            connect_timeout=10,
            statement_timeout=60,
        )
    )
    await database.open()
    rows = ValueStore(database)
    keys = IndexKeys(rows=rows, transit=transit, clock=SystemClock(), max_age_seconds=3600)
    index = await keys.get(TENANT)
    types = load_bundle(config.policy.directory).field_types
    prefixes = [types[name].token_prefix for name in FIELD_TYPES]
    sampled: list[list[object]] = []
    every = max(1, order["subjects"] // order["sample"])
    connection = await asyncpg.connect(order["url"])
    await connection.execute("set synchronous_commit = off")
    orders = make_orders(order["subjects"], seed=order["seed"])
    copying: asyncio.Task[None] | None = None
    for at in range(0, len(orders), _CHUNK):
        chunk = orders[at : at + _CHUNK]
        tables = await _rows(
            chunk, transit, index, prefixes, config, repeats=order["tokens_each"] // 5
        )
        for number, each in enumerate(chunk, start=at):
            if number % every == 0 and len(sampled) < order["sample"]:
                first = (number - at) * order["tokens_each"]
                tokens = [row[0] for row in tables["tokens"][first : first + 5]]
                sampled.append([each.ref, each.values, tokens])
        if copying is not None:
            await copying
        # The next rows are made while these are on their way.
        copying = asyncio.create_task(_copy(connection, tables))
    if copying is not None:
        await copying
    await connection.close()
    await database.close()
    await transit.close()
    return sampled


_COLUMNS = {
    "subjects": ("subject_id", "tenant"),
    "subject_refs": ("ref_digest", "tenant", "index_key_version", "subject_id"),
    "subject_keys": (
        *("subject_id", "key_version", "tenant", "wrapped", "root_version", "key_salt"),
        "commitment",
    ),
    "tokens": ("token", "tenant", "subject_id", "field_type", "key_version", "envelope"),
}


async def _copy(connection: asyncpg.Connection, tables: dict[str, list[tuple[Any, ...]]]) -> None:
    async with connection.transaction():
        for name, records in tables.items():
            await connection.copy_records_to_table(name, columns=_COLUMNS[name], records=records)


async def _rows(
    orders: Sequence[Order],
    transit: Transit,
    index: IndexChain,
    prefixes: Sequence[str],
    config: Config,
    *,
    repeats: int,
) -> dict[str, list[tuple[Any, ...]]]:
    subjects = [SubjectId(uuid.UUID(bytes=secrets.token_bytes(16), version=4)) for _ in orders]
    drawn = [new_data_key() for _ in orders]
    answers = await transit.wrap(
        [
            WrapItem(
                tenant=TENANT,
                secret=data_key,
                context=key_context(tenant=TENANT, subject_id=subject, key_version=1),
            )
            for subject, (data_key, _) in zip(subjects, drawn, strict=True)
        ]
    )
    tables: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _COLUMNS}
    for order, subject, (data_key, salt), answer in zip(
        orders, subjects, drawn, answers, strict=True
    ):
        assert isinstance(answer, Wrapped)
        key = SubjectKey(data_key, salt)
        tables["subjects"].append((subject, TENANT))
        tables["subject_refs"].extend(
            (digest, TENANT, version, subject)
            for version, digest in zip(index.live, index.subject_ref(order.ref), strict=True)
        )
        tables["subject_keys"].append(
            (subject, 1, TENANT, answer.wrapped, answer.root_version, salt, key.commitment)
        )
        for _ in range(repeats):
            for field_type, prefix, value in zip(FIELD_TYPES, prefixes, order.values, strict=True):
                token = new_token(prefix, config.server.environment)
                aad = field_aad(
                    tenant=TENANT, subject_id=subject, field_type=field_type, token=token
                )
                envelope = key.seal(value.encode(), aad)
                tables["tokens"].append((token, TENANT, subject, field_type, 1, envelope))
    return tables


if __name__ == "__main__":
    for _line in sys.stdin:
        _sample = uvloop.run(_load(json.loads(_line)))
        print(json.dumps({"sample": _sample}), flush=True)
