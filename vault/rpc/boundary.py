"""The edge of every call: identify, decode, hand to a procedure, record, answer.

Guarantees, for every method alike: nothing is answered before the entries that describe
the call are durable; a call that fails, is refused, malformed, cancelled or late leaves
its entries as well; what is answered about an error is a reason of the closed list.
If entries can't be written the answer is an error and holds nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import Message
from google.rpc import status_pb2

from vault.audit.account import Account
from vault.authn.identify import Identifier
from vault.authn.issuers import Issuers
from vault.clock import Clock
from vault.errors import Reason, VaultError
from vault.model import Principal, Verdict
from vault.policy.bundle import Bundle
from vault.random_ids import RANDOM_IDS
from vault.rpc.admission import Admission
from vault.rpc.status import STATUS, status_of
from vault.rpc.wire import decode
from vault.service.call import Call
from vault.service.recorder import Recorder
from vault.telemetry import names
from vault.telemetry.kinds import Value
from vault.telemetry.logs import Log
from vault.telemetry.metrics import Metrics
from vault.telemetry.trace import CallTrace, Tracer

Request = TypeVar("Request", bound=Message)

_log = Log("vault.rpc")

_REPLY_MARGIN_S = 0.02
"""Kept back from the caller's deadline, so that the reason still arrives."""
_MAX_STREAMS = 64
"""Streams open at once; each holds a connection and memory for as long as it likes."""
_RECORD_S = 5.0
"""How long the entry of a call that was cut short may take."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What the transport knows of a call.

    Attributes:
        certificate: the client certificate that TLS verified, PEM.
        authorization: every value of the `authorization` metadata key.
        traceparent: the W3C header as it came, or None.
        seconds_left: until the caller's deadline; None if it set none.
    """

    certificate: bytes
    authorization: Sequence[str | bytes]
    traceparent: str | None
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class Method(Generic[Request]):
    """One RPC: how its request is read, and the procedure behind it."""

    service: str
    name: str
    request: type[Request]
    run: Callable[[Call, Request], Awaitable[Message]]

    @property
    def rpc(self) -> str:
        return f"{self.service}/{self.name}"


Send = Callable[[Message], Awaitable[None]]
"""Hands one message of a stream to the transport; waits while the caller is slow."""


@dataclass(frozen=True, slots=True)
class StreamMethod(Generic[Request]):
    """One RPC that answers with a stream. Its procedure records before it sends."""

    service: str
    name: str
    request: type[Request]
    run: Callable[[Call, Request, Send], Awaitable[None]]

    @property
    def rpc(self) -> str:
        return f"{self.service}/{self.name}"


@dataclass(frozen=True, slots=True)
class _Arrival(Generic[Request]):
    """One call as it came in."""

    method: Method[Request] | StreamMethod[Request]
    data: bytes = field(repr=False)
    peer: Peer = field(repr=False)


class Bundles(Protocol):
    """The policy bundle in force."""

    @property
    def current(self) -> Bundle: ...


class Boundary:
    """Runs calls. One for the whole service."""

    def __init__(
        self,
        *,
        identifier: Identifier,
        bundles: Bundles,
        issuers: Callable[[Bundle], Issuers],
        recorder: Recorder,
        tracer: Tracer,
        metrics: Metrics,
        clock: Clock,
        max_request_bytes: int,
        max_in_flight: int,
        default_deadline_s: float,
        gate: Callable[[], None] | None = None,
    ) -> None:
        self._identifier = identifier
        self._bundles = bundles
        self._issuers = issuers
        self._recorder = recorder
        self._tracer = tracer
        self._metrics = metrics
        self._clock = clock
        self._max_request_bytes = max_request_bytes
        self._admission = Admission(max_in_flight, clock)
        self._default_deadline_s = default_deadline_s
        self._gate = gate or _always_open
        self._streams = 0
        self._is_draining = False
        self._settling: set[asyncio.Task[None]] = set()

    def drain(self) -> None:
        """From now on calls are turned away with SHUTTING_DOWN."""
        self._is_draining = True

    async def close(self) -> None:
        """Waits until the entries of calls that were cut short are written."""
        while self._settling:
            await asyncio.wait(self._settling)

    async def handle(
        self, method: Method[Request], data: bytes, peer: Peer
    ) -> bytes | status_pb2.Status:
        """One call from its bytes to the bytes, or the error, to answer with."""

        async def procedure(call: Call, request: Request) -> bytes:
            return (await method.run(call, request)).SerializeToString()

        seconds = peer.seconds_left
        limit = self._default_deadline_s if seconds is None else max(0.0, seconds - _REPLY_MARGIN_S)
        limit = min(limit, 10 * self._default_deadline_s)
        return await self._handle(_Arrival(method, data, peer), procedure, limit)

    async def handle_stream(
        self,
        method: StreamMethod[Request],
        data: bytes,
        peer: Peer,
        write: Callable[[bytes], Awaitable[None]],
    ) -> status_pb2.Status | None:
        """The same for a stream: what `write` is given, and at the end an error or None."""

        async def procedure(call: Call, request: Request) -> bytes:
            if self._streams > _MAX_STREAMS:
                raise VaultError(
                    Reason.OVERLOADED, "too many streams are open", retry_after_ms=1000
                )

            async def send(message: Message) -> None:
                if not call.account.is_closed:
                    raise VaultError(Reason.INTERNAL, "a stream was about to begin unrecorded")
                await write(message.SerializeToString())

            await method.run(call, request, send)
            return b""

        self._streams += 1
        try:
            arrival = _Arrival(method, data, peer)
            answer = await self._handle(arrival, procedure, peer.seconds_left)
        finally:
            self._streams -= 1
        return answer if isinstance(answer, status_pb2.Status) else None

    async def _handle(
        self,
        arrival: _Arrival[Request],
        procedure: Callable[[Call, Request], Awaitable[bytes]],
        limit: float | None,
    ) -> bytes | status_pb2.Status:
        method = arrival.method
        trace = self._tracer.call(method.rpc, arrival.peer.traceparent)
        call_id = RANDOM_IDS.uuid4()
        trace.call_id = call_id.hex
        account = Account(
            rpc=method.rpc, call_id=call_id, trace_id=trace.trace_id, span_id=trace.span_id
        )
        status = 0
        reason = Reason.NONE
        try:
            async with asyncio.timeout(limit):
                answer = await self._run(arrival, procedure, account, trace)
            if not account.is_closed:
                raise VaultError(Reason.INTERNAL, "a call was about to answer unrecorded")
            return answer
        except asyncio.CancelledError:
            reason = Reason.CANCELLED
            self._settle(account, trace, reason)
            raise
        except TimeoutError:
            error = VaultError(Reason.DEADLINE_EXCEEDED, "the call took longer than its deadline")
            reason = error.reason
            self._settle(account, trace, reason)
            return status_of(error, call_id)
        except VaultError as failure:
            error = await self._record(failure, account, trace)
            reason = error.reason
            return status_of(error, call_id)
        except Exception as fault:  # noqa: BLE001 - the edge: nothing may pass but a reason
            _log.error("call.fault", error=fault, rpc=method.rpc)
            internal = VaultError(Reason.INTERNAL, "an internal fault; the call id finds it")
            error = await self._record(internal, account, trace)
            reason = error.reason
            return status_of(error, call_id)
        finally:
            if reason is not Reason.NONE:
                status = STATUS[reason].value[0]
            self._finish(account, trace, status, reason)

    async def _run(
        self,
        arrival: _Arrival[Request],
        procedure: Callable[[Call, Request], Awaitable[bytes]],
        account: Account,
        trace: CallTrace,
    ) -> bytes:
        method, peer = arrival.method, arrival.peer
        # 1. Identify the caller. First, so that even a malformed call has a name to it.
        trace.mark(names.STAGE_IDENTIFY)
        bundle = self._bundles.current
        account.bundle_digest = bundle.digest

        def meet(proved: Principal) -> None:
            account.principal = proved

        principal = self._identifier.identify(
            peer.certificate,
            peer.authorization,
            bundle=bundle,
            issuers=self._issuers(bundle),
            service=method.service,
            meet=meet,
        )
        account.principal = principal
        if self._is_draining:
            raise VaultError(Reason.SHUTTING_DOWN, "the service is stopping", retry_after_ms=500)
        self._gate()
        # Only calls that were let in count: those that are turned away and wait for their entry
        # must not keep others out, or lasting overload would end in nothing but refusals.
        admitted = self._admission.enter(principal, len(arrival.data), peer.seconds_left)
        has_answer = False
        try:
            # 2. Decode and limit.
            trace.mark(names.STAGE_DECODE)
            request = decode(arrival.data, method.request, max_bytes=self._max_request_bytes)
            # 3 to 7. The procedure, which ends with durable entries.
            answer = await procedure(Call(principal, bundle, account, trace), request)
            has_answer = True
        finally:
            self._admission.leave(admitted, has_answer=has_answer)
        # 8. Reply.
        trace.mark(names.STAGE_REPLY)
        return answer

    async def _record(self, error: VaultError, account: Account, trace: CallTrace) -> VaultError:
        """Records a call that failed; the error to answer with."""
        if account.is_closed:
            return error
        verdict = verdict_of(error.reason)
        if error.violations and verdict is Verdict.INVALID:
            account.field = error.violations[0].field
        try:
            async with asyncio.timeout(_RECORD_S):
                await self._recorder.record_failure(account, error.reason, verdict, trace)
        except (VaultError, TimeoutError) as failure:
            _log.error("audit.unrecorded", error=failure, reason=error.reason.name)
            if verdict is Verdict.FAILED:
                return error
            # An answer by rule that nobody could later find must not be given.
            return VaultError(
                Reason.AUDIT_UNAVAILABLE,
                "the audit entry could not be made durable",
                retry_after_ms=500,
            )
        return error

    def _settle(self, account: Account, trace: CallTrace, reason: Reason) -> None:
        """Records a call that nobody waits for any more, in the background."""
        if account.is_closed:
            return  # its entries are on their way to the log and will get there
        error = VaultError(reason, reason.name)
        task = asyncio.get_running_loop().create_task(self._settled(error, account, trace))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settled(self, error: VaultError, account: Account, trace: CallTrace) -> None:
        await self._record(error, account, trace)

    def _finish(self, account: Account, trace: CallTrace, status: int, reason: Reason) -> None:
        ids: dict[str, Value] = {names.CALL_ID: trace.call_id}
        if account.entry_ids:
            ids[names.ENTRY_IDS] = tuple([entry_id.hex for entry_id in account.entry_ids])
        attributes: dict[str, Value] = {
            names.TENANT: account.principal.tenant,
            names.BUNDLE: account.bundle_digest.hex(),
            names.ITEMS: len(account.items),
        }
        if account.purpose:
            attributes[names.PURPOSE] = account.purpose
        if reason is not Reason.NONE:
            attributes[names.REASON] = reason.name
            attributes[names.ERROR_TYPE] = reason.name
        counts: dict[tuple[Verdict, Reason], int] = {}
        for note in account.items:
            key = (note.verdict, note.reason)
            counts[key] = counts.get(key, 0) + 1
        for (verdict, why), count in counts.items():
            self._metrics.count_items(account.rpc, verdict, why, count)
            name = _ITEMS.get(verdict)
            if name is not None:
                before = attributes.get(name, 0)
                attributes[name] = count + (before if isinstance(before, int) else 0)
        trace.finish(status, attributes, ids)


_ITEMS = {
    Verdict.ALLOWED: names.ITEMS_ALLOWED,
    Verdict.REFUSED: names.ITEMS_REFUSED,
    Verdict.INVALID: names.ITEMS_INVALID,
    Verdict.FAILED: names.ITEMS_FAILED,
}


def _always_open() -> None:
    """The gate where there is no ledger of erasures."""


_INVALID_BELOW = Reason.CERTIFICATE_INVALID
_FAILED = frozenset(
    reason for reason in Reason if Reason.KEY_STORE_SEALED <= reason <= Reason.CUSTODY_UNAVAILABLE
) | {Reason.DATA_CORRUPT}
"""The machinery's. What custody answers by its rules (81 and on) is a refusal."""


def verdict_of(reason: Reason) -> Verdict:
    """What an entry says became of a call that ended for this reason."""
    if reason in _FAILED:
        return Verdict.FAILED
    if reason < _INVALID_BELOW or reason is Reason.TOKEN_MALFORMED:
        return Verdict.INVALID
    return Verdict.REFUSED
