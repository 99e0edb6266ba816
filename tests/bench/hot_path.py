"""What a Detokenize call costs in Python alone: no gRPC, no database, no waiting.

    python -m tests.bench.hot_path [--profile]

Drives `Boundary.handle` with the real bundle, procedure, crypto and telemetry; the stages answer at
once. Prints CPU µs a call for 1 token, an order of 5, and 100 tokens of 20 subjects: the least of
several rounds, as other work on the machine only ever adds.
"""

import argparse
import asyncio
import cProfile
import pstats
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from tests.support.certificates import certificate_pem
from vault.app.checks import issuers_of
from vault.audit.account import EntryIds
from vault.authn.identify import Identifier
from vault.authn.mtls import PeerCertificates
from vault.clock import SystemClock
from vault.crypto.aead import SubjectKey, new_data_key
from vault.crypto.binding import field_aad
from vault.crypto.keyring import Keyring
from vault.crypto.tokens import new_token
from vault.model import SubjectId, TenantId
from vault.policy.holder import BundleHolder
from vault.rows import Commit, DoneWrite, TokenRow
from vault.rpc.boundary import Boundary, Method, Peer
from vault.rpc.convert import Limits
from vault.rpc.services import Services
from vault.service.detokenize import Detokenizer
from vault.service.recorder import Recorder
from vault.service.subject_keys import SubjectKeys
from vault.telemetry import Telemetry
from vault.telemetry.trips import TripNotes
from vault.v1 import tokens_pb2

POLICIES = Path(__file__).parents[2] / "policies"
_TENANT = TenantId("demo-shop")
_FIELDS = (
    ("person_name", "na", "王安宁"),
    ("phone", "phone", "13812345678"),
    ("phone", "phone", "13912345678"),
    ("postal_address", "addr", "江苏省苏州市姑苏区春江路1号2幢101室"),
    ("resident_id", "rid", "110000199001010014"),
)
_SIZES = {1: 2000, 5: 1000, 100: 100}
"""Tokens in a call -> calls in a round."""
_ROUNDS = 9


class _Rows:
    """Stored rows, given at once."""

    def __init__(self) -> None:
        self.rows: dict[str, TokenRow] = {}

    async def submit(self, item: Sequence[str], _: object) -> dict[str, TokenRow]:
        return {token: self.rows[token] for token in item}


class _Log:
    """Takes entries at once."""

    async def submit(self, _: Commit, __: object) -> DoneWrite | None:
        return None


class _Sink:
    """Has spans begun, queued and dropped."""

    def __init__(self) -> None:
        self.dropped: dict[str, int] = {}

    def export(self, spans: Sequence[ReadableSpan], /) -> None:
        pass

    def close(self, deadline: float, /) -> None:
        pass


class HotPath:
    """The service without its ends."""

    def __init__(self) -> None:
        clock = SystemClock()
        holder = BundleHolder(POLICIES, clock=clock)
        issuers = issuers_of(holder.current)
        self.telemetry = Telemetry(version="0")
        keyring = Keyring(max_entries=1000, max_age_seconds=3600, max_uses=1 << 60, clock=clock)
        unused: Any = None
        keys = SubjectKeys(
            rows=unused,
            transit=unused,
            keyring=keyring,
            trips=TripNotes(tracer=self.telemetry.tracer, metrics=self.telemetry.metrics),
            name="trip keys",
            max_trip=1,
            max_queue=1,
            lanes=1,
        )
        self._rows = _Rows()
        recorder = Recorder(entries=_Log(), writes=_Log(), ids=EntryIds(clock))
        services = Services(
            tokenizer=unused,
            detokenizer=Detokenizer(
                rows=self._rows,
                cases=_NoCases(),  # type: ignore[arg-type]
                keys=keys,
                erased=unused,
                recorder=recorder,
                clock=clock,
            ),
            keeper=unused,
            holder=holder,
            limits=Limits(1 << 20, 1000, 100, 100),
        )
        self.method: Method[Any] = next(
            method for method in services.methods() if method.name == "Detokenize"
        )
        self.boundary = Boundary(
            identifier=Identifier(
                certificates=PeerCertificates(trust_domain="pdvault.example", clock=clock),
                clock=clock,
            ),
            bundles=holder,
            issuers=lambda _: issuers,
            recorder=recorder,
            tracer=self.telemetry.tracer,
            metrics=self.telemetry.metrics,
            clock=clock,
            max_request_bytes=1 << 20,
            max_in_flight=1000,
            default_deadline_s=10.0,
        )
        now = int(time.time())
        self._pem = certificate_pem(
            "spiffe://pdvault.example/shop/shipping", not_before=now - 60, not_after=now + 3600
        )
        self._orders = [self._store(keyring) for _ in range(20)]

    def _store(self, keyring: Keyring) -> list[str]:
        subject = SubjectId(uuid.uuid4())
        key = SubjectKey(*new_data_key())
        keyring.put(subject, 1, key, generation=keyring.generation)
        tokens = []
        for field_type, prefix, value in _FIELDS:
            token = new_token(prefix, "demo")
            aad = field_aad(tenant=_TENANT, subject_id=subject, field_type=field_type, token=token)
            envelope = key.seal(value.encode(), aad)
            self._rows.rows[token] = TokenRow(token, _TENANT, subject, field_type, 1, envelope)
            tokens.append(token)
        return tokens

    def request(self, size: int) -> bytes:
        tokens = [token for order in self._orders for token in order][:size]
        items = [tokens_pb2.DetokenizeItem(token=token) for token in tokens]
        request = tokens_pb2.DetokenizeRequest(purpose="customs_clearance", items=items)
        return request.SerializeToString()

    async def call(self, data: bytes) -> bytes:
        """One call, as the server makes it."""
        answer = await self.boundary.handle(self.method, data, Peer(self._pem, [], None, 10.0))
        assert isinstance(answer, bytes), answer
        return answer


class _NoCases:
    """No call is about a case."""

    async def enter(self, _: object, case: object) -> None:
        assert case is None


async def _measure(path: HotPath, size: int, calls: int) -> float:
    data = path.request(size)
    answer = tokens_pb2.DetokenizeResponse.FromString(await path.call(data))
    assert [item.value for item in answer.items] == [v for _, _, v in _FIELDS * 20][:size]
    least = float("inf")
    for _ in range(_ROUNDS):
        began = time.thread_time_ns()
        for _ in range(calls):
            await path.call(data)
        least = min(least, (time.thread_time_ns() - began) / calls / 1000)
    return least


async def _main(*, profile: bool) -> None:
    path = HotPath()
    try:
        for size, calls in _SIZES.items():
            print(f"{size:4} tokens: {await _measure(path, size, calls):8.1f} µs a call")
            if profile:
                profiler = cProfile.Profile()
                data = path.request(size)
                profiler.enable()
                for _ in range(calls):
                    await path.call(data)
                profiler.disable()
                pstats.Stats(profiler).sort_stats("tottime").print_stats(32)
    finally:
        path.telemetry.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", action="store_true")
    asyncio.run(_main(profile=parser.parse_args().profile))
