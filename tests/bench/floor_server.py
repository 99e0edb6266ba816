"""The naive floor: a server that does only what cannot be avoided. A measure, not a product.

    python -m tests.bench.floor_server DATABASE_URL

For a call: one select by token, one AES-GCM open for each value, one audit row, committed
together with those of the calls that came meanwhile. Plain gRPC without TLS, no identity, no
policy, one key for all, no spans. Its tables are its own; the messages are the vault's.
"""

import asyncio
import datetime as dt
import json
import os
import signal
import sys
import uuid

import asyncpg
import grpc
import uvloop
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.v1 import tokens_pb2, tokens_pb2_grpc, types_pb2

KEY = bytes(32)
"""Of a benchmark: it protects nothing."""
NONCE_BYTES = 12
TABLES = """
create table if not exists bench_floor_tokens (
    token text not null primary key, field_type text not null, envelope bytea not null
);
create table if not exists bench_floor_audit (
    entry_id uuid not null primary key, recorded_at timestamptz not null,
    caller text not null, purpose text not null, tokens text[] not null
);
"""
_ONE = "select token, field_type, envelope from bench_floor_tokens where token = $1"
_MANY = "select token, field_type, envelope from bench_floor_tokens where token = any($1)"
_CONNECTIONS = 10
"""As many as the vault's pool has by default."""

Row = tuple[uuid.UUID, dt.datetime, str, str, list[str]]


def seal(token: str, value: str) -> bytes:
    """What the floor stores for a value."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(KEY).encrypt(nonce, value.encode(), token.encode())


class Audit:
    """Rows, committed in groups: while one commit is under way, newcomers wait for the next."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._waiting: list[tuple[Row, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def record(self, row: Row) -> None:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((row, done))
        if self._task is None:
            self._task = asyncio.create_task(self._commit())
        await done

    async def _commit(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            async with self._pool.acquire() as connection:
                await connection.copy_records_to_table(
                    "bench_floor_audit", records=[row for row, _ in group]
                )
            for _, done in group:
                done.set_result(None)
        self._task = None


class Floor(tokens_pb2_grpc.TokenServiceServicer):
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._audit = Audit(pool)
        self._key = AESGCM(KEY)

    async def Detokenize(  # noqa: N802 - the method's name
        self, request: tokens_pb2.DetokenizeRequest, _: object
    ) -> tokens_pb2.DetokenizeResponse:
        tokens = [item.token for item in request.items]
        if len(tokens) == 1:
            rows = [await self._pool.fetchrow(_ONE, tokens[0])]
        else:
            rows = await self._pool.fetch(_MANY, tokens)
        found = {row["token"]: row for row in rows}
        response = tokens_pb2.DetokenizeResponse()
        for token in tokens:
            row = found[token]
            envelope = row["envelope"]
            value = self._key.decrypt(
                envelope[:NONCE_BYTES], envelope[NONCE_BYTES:], token.encode()
            )
            response.items.add(
                verdict=types_pb2.VERDICT_ALLOWED,
                value=value.decode(),
                view=types_pb2.VIEW_FULL,
                field_type=row["field_type"],
            )
        entry_id = uuid.uuid4()
        response.call_id = entry_id.hex
        now = dt.datetime.now(dt.UTC)
        await self._audit.record((entry_id, now, "bench", request.purpose, tokens))
        return response


async def _serve(url: str) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with asyncpg.create_pool(url, min_size=1, max_size=_CONNECTIONS) as pool:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        tokens_pb2_grpc.add_TokenServiceServicer_to_server(Floor(pool), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)
        await stopped.wait()
        await server.stop(1)


if __name__ == "__main__":
    uvloop.run(_serve(sys.stdin.readline().strip()))
