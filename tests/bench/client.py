"""The load client: a process of its own that makes calls and reports what became of them.

    python -m tests.bench.client

Reads orders as lines of JSON, answers each with one (see `Order` and `Report`). The same loop
drives every server: what differs is the protocol below it (`http2`, `http1`).
"""

import asyncio
import base64
import functools
import itertools
import json
import random
import resource
import secrets
import ssl
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.http1 import HttpConnection
from tests.bench.http2 import GrpcConnection
from tests.bench.usage import Meter
from vault.v1 import tokens_pb2, types_pb2

Connection = GrpcConnection | HttpConnection

_OUTSTANDING = 900
"""Most calls on a gRPC connection; servers allow 1,000 streams."""
_TICK_S = 0.002
_LAST_ANSWERS_S = 5.0
"""Beyond the deadline."""
_DEADLINE_EXCEEDED = 4


@dataclass(frozen=True, slots=True)
class Order:
    """One slice of load.

    Attributes:
        kind: "grpc" or "http".
        path: the method, of "grpc".
        tls: a folder with ca.crt and, for a client certificate, tls.crt and tls.key; None: plain.
        pool: file with the requests, see `write_pool`.
        callers: how many calls are under way at any time; with a `rate`, of no meaning.
        rate: calls a second that begin whatever becomes of the others; None: the next begins
            when the last has ended.
        warm: seconds before counting begins.
        check_every: compare every n-th answer with what is expected.
        watch: pids, by the name of the part whose CPU they are.
    """

    kind: str
    port: int
    path: str
    tls: str | None
    pool: str
    callers: int
    connections: int
    seconds: float
    warm: float
    rate: float | None = None
    deadline_s: float = 10.0
    check_every: int = 200
    watch: dict[str, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Report:
    """What became of a slice. Counts and CPU are those of the measured seconds.

    Attributes:
        statuses: answers by status code (gRPC's or HTTP's).
        unsent: calls that were due (open loop) while every connection was full.
        p50_ms, p99_ms: of answers that succeeded.
        other_p50_ms, other_p99_ms: of refusals: others, but for those whose deadline had passed.
        cpu: CPU seconds by part, the client's own among them.
        checked, wrong: answers compared, and how many were not as expected.
    """

    seconds: float = 0.0
    good: int = 0
    items: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    unsent: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    other_p50_ms: float = 0.0
    other_p99_ms: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    checked: int = 0
    wrong: int = 0


class Pool:
    """Requests that were made beforehand. Holes are filled with fresh ids as they go out."""

    def __init__(self, path: str) -> None:
        document = json.loads(Path(path).read_text())
        self.items: int = document["items"]
        self._requests = [
            [base64.b64decode(part) for part in each["parts"]] for each in document["requests"]
        ]
        self._expected = [each["expected"] for each in document["requests"]]
        self._order = random.sample(range(len(self._requests)), len(self._requests))
        self._at = 0
        self._run = secrets.token_hex(4)
        self._ids = itertools.count()

    def take(self) -> tuple[int, bytes]:
        """The number of a request, and its bytes."""
        at = self._at = self._at + 1 if self._at + 1 < len(self._order) else 0
        number = self._order[at]
        parts = self._requests[number]
        if len(parts) == 1:
            return number, parts[0]
        filled = [parts[0]]
        for part in parts[1:]:
            filled.append(b"%s%08x" % (self._run.encode(), next(self._ids)))
            filled.append(part)
        return number, b"".join(filled)

    def is_right(self, number: int, kind: str, path: str, body: bytes) -> bool:
        """Whether an answer holds what was expected of this request."""
        expected = self._expected[number]
        if kind == "http":
            return bool(_transit_values(json.loads(body)["data"]) == expected)
        if path.endswith("/Detokenize"):
            answer = tokens_pb2.DetokenizeResponse.FromString(body)
            return [item.value for item in answer.items] == expected
        results = tokens_pb2.TokenizeResponse.FromString(body).subjects
        good = [
            result.token
            for subject in results
            for result in subject.fields
            if result.verdict == types_pb2.VERDICT_ALLOWED
        ]
        return len(set(good)) == expected


def write_pool(path: Path, requests: list[tuple[list[bytes], object]], items: int) -> Path:
    """Writes what `Pool` reads: parts of each request (holes between them), and what to expect."""
    document = {
        "items": items,
        "requests": [
            {"parts": [base64.b64encode(part).decode() for part in parts], "expected": expected}
            for parts, expected in requests
        ],
    }
    path.write_text(json.dumps(document))
    return path


def _transit_values(data: dict[str, Any]) -> list[str]:
    results = data.get("batch_results", [data])
    return [base64.b64decode(result["plaintext"]).decode() for result in results]


class Run:
    """One slice under way."""

    def __init__(self, order: Order, pool: Pool, connections: list[Connection]) -> None:
        self._order = order
        self._pool = pool
        self._connections = connections
        self._turn = itertools.cycle(connections)
        self._good = 200 if order.kind == "http" else 0
        self._report = Report()
        self._times: list[float] = []
        self._other_times: list[float] = []
        self._samples: list[tuple[int, bytes]] = []
        self._counting = False
        self._stopped = False
        self._under_way = 0
        self._answers = 0
        self._idle = asyncio.Event()

    async def run(self) -> Report:
        order = self._order
        if order.rate is None:
            for caller in range(order.callers):
                self._call(self._connections[caller % len(self._connections)])
            pacer = None
        else:
            pacer = asyncio.create_task(self._pace(order.rate))
        await asyncio.sleep(order.warm)
        meter = Meter(order.watch)
        began, cpu = time.perf_counter(), _own_cpu()
        self._counting = True
        await asyncio.sleep(order.seconds)
        self._counting = False
        self._stopped = True
        ended = time.perf_counter()
        report = self._report
        report.cpu = {**meter.read(), "client": _own_cpu() - cpu}
        if pacer is not None:
            await pacer
        if self._under_way:
            await asyncio.wait_for(self._idle.wait(), order.deadline_s + _LAST_ANSWERS_S)
        report.seconds = ended - began
        report.items = report.good * self._pool.items
        report.p50_ms, report.p99_ms = _percentiles(self._times)
        report.other_p50_ms, report.other_p99_ms = _percentiles(self._other_times)
        for number, body in self._samples:
            report.checked += 1
            report.wrong += not self._pool.is_right(number, order.kind, order.path, body)
        return report

    async def _pace(self, rate: float) -> None:
        began, made = time.perf_counter(), 0
        while not self._stopped:
            due = int((time.perf_counter() - began) * rate) - made
            made += due
            for _ in range(due):
                connection = next(self._turn)
                if connection.outstanding < _OUTSTANDING:
                    self._call(connection)
                elif self._counting:
                    self._report.unsent += 1
            await asyncio.sleep(_TICK_S)

    def _call(self, connection: Connection) -> None:
        number, request = self._pool.take()
        self._under_way += 1
        done = functools.partial(self._done, connection, number, time.perf_counter())
        connection.call(request, done)

    def _done(
        self, connection: Connection, number: int, began: float, status: int, body: bytes
    ) -> None:
        self._under_way -= 1
        self._answers += 1
        if self._counting:
            taken = time.perf_counter() - began
            statuses = self._report.statuses
            statuses[status] = statuses.get(status, 0) + 1
            if status == self._good:
                self._report.good += 1
                self._times.append(taken)
                if self._answers % self._order.check_every == 0:
                    self._samples.append((number, body))
            elif status != _DEADLINE_EXCEEDED:
                self._other_times.append(taken)
        if self._stopped:
            if not self._under_way:
                self._idle.set()
        elif self._order.rate is None and not connection.is_lost:
            self._call(connection)


class Client:
    """Keeps pools and connections from one slice to the next."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}
        self._connections: dict[tuple[Any, ...], list[Connection]] = {}

    async def run(self, order: Order) -> Report:
        if order.pool not in self._pools:
            self._pools[order.pool] = Pool(order.pool)
        connections = await self._connect(order)
        return await Run(order, self._pools[order.pool], connections).run()

    async def _connect(self, order: Order) -> list[Connection]:
        key = (order.kind, order.port, order.path, order.tls, order.deadline_s)
        found = [each for each in self._connections.get(key, []) if not each.is_lost]
        loop = asyncio.get_running_loop()

        def make() -> Connection:
            if order.kind == "http":
                return HttpConnection()
            return GrpcConnection(
                order.path, secure=order.tls is not None, deadline_s=order.deadline_s
            )

        context = None if order.tls is None else _context(Path(order.tls), order.kind)
        while len(found) < order.connections:
            _, connection = await loop.create_connection(
                make,
                "127.0.0.1",
                order.port,
                ssl=context,
                server_hostname=None if context is None else "127.0.0.1",
            )
            found.append(connection)
        self._connections[key] = found
        return found[: order.connections]

    def close(self, port: int) -> int:
        """Closes the connections to a port; how many they were."""
        closed = 0
        for key in [key for key in self._connections if key[1] == port]:
            for connection in self._connections.pop(key):
                connection.close()
                closed += 1
        return closed


def _context(folder: Path, kind: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if kind == "grpc":
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        context.set_alpn_protocols(["h2"])
    return context


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    if not seconds:
        return 0.0, 0.0
    seconds.sort()
    return seconds[len(seconds) // 2] * 1000, seconds[len(seconds) * 99 // 100] * 1000


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _serve() -> None:
    client = Client()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        if "close" in order:
            answer: dict[str, Any] = {"closed": client.close(order["close"])}
        else:
            answer = asdict(await client.run(Order(**order)))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(_serve())
