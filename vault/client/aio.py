# ruff: noqa: ASYNC109 -- a call's timeout travels to the server, which asyncio.timeout cannot do
"""The client for asyncio. Its methods are those of `vault.client.sync.VaultClient`, awaited."""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Self, TypeAlias, TypeVar, Unpack, cast

import grpc
import grpc.aio

from vault.client import key_calls, key_results, log_calls, log_results, requests, results
from vault.client.base import BaseClient
from vault.client.calls import Attempt, Health, Outcome, Pause, Step, Steps
from vault.client.channels import Lease, Option
from vault.client.errors import call_error
from vault.client.keys import AsyncKeys
from vault.client.log_calls import Give, Next, Open, StreamSteps
from vault.client.requests import EntryFilters, Subject, Wanted
from vault.model import View

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_Stream: TypeAlias = tuple[Lease[grpc.aio.Channel], "grpc.aio.UnaryStreamCall[bytes, bytes]"]


class AsyncVaultClient(BaseClient[grpc.aio.Channel]):
    """Calls the vault from one event loop; one client serves many tasks.

    Every method takes `timeout` (seconds for the whole call, retries included)
    and `traceparent` (W3C; without it, that of the current OpenTelemetry span).

    Every method raises:
        InvalidRequestError: the request is wrong.
        NotPermittedError: the caller is not known or not allowed.
        UnavailableError: the vault does not answer now.
        VaultCallError: everything else; the base of these three.
    """

    async def tokenize(
        self,
        subjects: Iterable[Subject | tuple[str, Mapping[str, str]]],
        *,
        idempotency_key: str | None = None,
        all_or_nothing: bool = False,
        case: str = "",
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> results.TokenizeOutcome:
        """Stores values and returns a token, or the cause of refusal, for each.

        Args:
            subjects: consumers, each with field type to value.
            idempotency_key: 16 to 128 characters of [A-Za-z0-9._:-]; a fresh UUID
                if none is given. Kept over retries. After an UnavailableError, the
                same subjects with the error's `idempotency_key` have one effect.
            all_or_nothing: store nothing unless everything can be stored.
            case: what it is about, such as "order:A-2026-000123".
            timeout: seconds for the whole of it, retries and their waits included.
            traceparent: W3C; None takes that of the current OpenTelemetry span.

        More than 500 subjects or 1,000 values go in several calls, one after the
        other, with keys KEY.1, KEY.2 …; if one fails, those before it stand, and
        the repetition with KEY finds them. With all_or_nothing nothing is split:
        too many is an InvalidRequestError.
        """
        return await self._run(
            self._calls.tokenize(
                subjects,
                idempotency_key=idempotency_key,
                all_or_nothing=all_or_nothing,
                case=case,
                timeout=timeout,
                traceparent=traceparent,
            )
        )

    async def detokenize(
        self,
        purpose: str,
        tokens: Iterable[str | Wanted],
        *,
        view: View | None = None,
        all_or_nothing: bool = False,
        case: str = "",
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> results.DetokenizeOutcome:
        """Returns the value, or the cause of refusal, for each token.

        Args:
            purpose: a purpose of the policy bundle, such as "delivery".
            tokens: bare, or with the view wanted of each.
            view: wanted of the bare ones; None asks for the most that policy allows.
            all_or_nothing: return nothing unless everything may be returned.
            case: what it is about, such as "order:A-2026-000123".
            timeout: seconds for the whole of it, retries and their waits included.
            traceparent: W3C; None takes that of the current OpenTelemetry span.

        More than 1,000 tokens go in several calls, except with all_or_nothing.
        """
        return await self._run(
            self._calls.detokenize(
                purpose,
                tokens,
                view=view,
                all_or_nothing=all_or_nothing,
                case=case,
                timeout=timeout,
                traceparent=traceparent,
            )
        )

    async def list_entries(
        self,
        *,
        timeout: float | None = None,
        traceparent: str | None = None,
        **filters: Unpack[EntryFilters],
    ) -> AsyncIterator[results.Entry]:
        """The audit log's entries, newest first; asks for further pages by itself.

        `timeout` is that of each page.
        """
        request = requests.entries_request(filters)
        while True:
            for entry in await self._run(
                self._calls.entries_page(request, timeout=timeout, traceparent=traceparent)
            ):
                yield entry
            if not request.page_token:
                return

    def tail_entries(
        self, *, traceparent: str | None = None, **filters: Unpack[EntryFilters]
    ) -> AsyncGenerator[results.Entry, None]:
        """Entries that match, oldest first, from now on, until the iterator is closed.

        They come when they have their place in the log, below a second after the call. Takes
        all filters but since, until and page_size. A stream that breaks is an
        UnavailableError and not begun again: what came in between would be missing.
        """
        return self._stream(log_calls.tail_entries(filters, traceparent=traceparent))

    async def get_stats(
        self,
        since: dt.datetime,
        until: dt.datetime,
        *,
        case: str = "",
        case_id: str = "",
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> tuple[log_results.AccessCount, ...]:
        """How many accesses there were with since <= time < until (at most 400 days).

        With case or case_id only those about it; of months that went to files none are known.
        """
        return await self._run(
            log_calls.get_stats(
                self._calls,
                requests.stats_request(since, until, case, case_id),
                timeout=timeout,
                traceparent=traceparent,
            )
        )

    async def get_checkpoint(
        self,
        min_size: int = 0,
        *,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> log_results.Checkpoint:
        """The newest signed checkpoint, or the first that covers `min_size` leaves."""
        return await self._run(
            log_calls.get_checkpoint(
                self._calls, min_size, timeout=timeout, traceparent=traceparent
            )
        )

    async def prove_inclusion(
        self,
        entry_ids: Iterable[str],
        tree_size: int = 0,
        *,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> log_results.InclusionProofs:
        """Proofs that entries are in the tree of a checkpoint's size (0: the newest's).

        More than 500 entries go in several calls, all against the tree of the first.
        """
        return await self._run(
            log_calls.prove_inclusion(
                self._calls, entry_ids, tree_size, timeout=timeout, traceparent=traceparent
            )
        )

    async def prove_consistency(
        self,
        first: int,
        second: int = 0,
        *,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> log_results.ConsistencyProof:
        """A proof that the tree of `first` leaves is the beginning of that of `second`.

        `second` 0 is the newest checkpoint's size.
        """
        return await self._run(
            log_calls.prove_consistency(
                self._calls, first, second, timeout=timeout, traceparent=traceparent
            )
        )

    def export_entries(
        self,
        begin: int = 0,
        end: int = 0,
        checkpoint_size: int = 0,
        *,
        traceparent: str | None = None,
    ) -> AsyncGenerator[log_results.ExportPiece, None]:
        """The log with begin <= index < end (0: the checkpoint's size), piece by piece.

        First the head, then tiles and leaves in the order of the export file (docs/formats.md).
        `checkpoint_size` 0 takes the newest checkpoint. When a stream breaks, the next goes on at
        the leaf that is due, under the same checkpoint; no piece comes twice.
        """
        return self._stream(
            log_calls.export_entries(
                self._calls, begin, end, checkpoint_size, traceparent=traceparent
            )
        )

    @property
    def keys(self) -> AsyncKeys:
        """What key custodians do."""
        return AsyncKeys(self._calls, self._run, self._stream)

    async def erase_subject(
        self,
        *,
        subject_ref: str | None = None,
        token: str | None = None,
        cause: str = "consumer_request",
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> key_results.Erased:
        """Erases a consumer for good; the same again gives the same certificate.

        Args:
            subject_ref: the consumer, by the shop's reference, or
            token: by any token of theirs.
            cause: `consumer_request`, `consent_withdrawn`, `retention_over` or `legal_order`.
            dry_run: only count the tokens that would answer ERASED.
            timeout: seconds for the whole of it.
        """
        return await self._run(
            key_calls.erase(
                self._calls,
                subject_ref=subject_ref,
                token=token,
                cause=cause,
                dry_run=dry_run,
                timeout=timeout,
            )
        )

    async def get_erasure(
        self, erasure_id: str, *, timeout: float | None = None
    ) -> key_results.Erasure:
        """The certificate of an erasure."""
        return await self._run(key_calls.get_erasure(self._calls, erasure_id, timeout))

    async def get_bundle(
        self, *, timeout: float | None = None, traceparent: str | None = None
    ) -> results.Bundle:
        """The policy bundle that decides now."""
        return await self._run(self._calls.get_bundle(timeout=timeout, traceparent=traceparent))

    async def reload_bundle(
        self, *, timeout: float | None = None, traceparent: str | None = None
    ) -> results.Reloaded:
        """Has the vault read its policy folder again.

        A broken bundle is a VaultCallError of reason BUNDLE_INVALID, whose
        violations name file, line and fault; the old one keeps deciding.
        """
        return await self._run(self._calls.reload_bundle(timeout=timeout, traceparent=traceparent))

    async def check_health(self, service: str = "", *, timeout: float | None = None) -> Health:
        """How the vault, or one of its services, says it is. Never tried again."""
        return await self._run(self._calls.check_health(service, timeout=timeout))

    async def close(self) -> None:
        """Closes the connection; calls under way in other tasks are cancelled."""
        for channel in self._channels.close():
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[ResultT]) -> ResultT:
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                return cast("ResultT", end.value)
            outcome = await self._do(step)

    async def _do(self, step: Step) -> Outcome:
        match step:
            case Pause(seconds=seconds):
                await asyncio.sleep(seconds)
                return None
            case Attempt():
                return await self._send(step)

    async def _send(self, attempt: Attempt) -> Outcome:
        lease, done = self._channels.take()
        try:
            for channel in done:
                await channel.close()
            # Without serialisers, requests and answers are bytes.
            send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
            send = lease.channel.unary_unary(f"/{attempt.rpc}")
            return await send(
                attempt.request, timeout=attempt.timeout, metadata=self._metadata(attempt.metadata)
            )
        except grpc.RpcError as error:
            return call_error(error)
        finally:
            for channel in self._channels.give_back(lease):
                await channel.close()

    async def _stream(self, steps: StreamSteps[ItemT]) -> AsyncGenerator[ItemT, None]:
        stream: _Stream | None = None
        outcome: Outcome = None
        try:
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration:
                    return
                outcome = None
                match step:
                    case Open():
                        await self._end(stream)
                        stream = await self._begin(step)
                    case Next():
                        outcome = await self._receive(stream)
                    case Pause(seconds=seconds):
                        await asyncio.sleep(seconds)
                    case Give(item=item):
                        yield item
        finally:
            await self._end(stream)

    async def _begin(self, step: Open) -> _Stream:
        lease, done = self._channels.take()
        for channel in done:
            await channel.close()
        send: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
        send = lease.channel.unary_stream(f"/{step.rpc}")
        return lease, send(step.request, metadata=self._metadata(step.metadata))

    async def _end(self, stream: _Stream | None) -> None:
        if stream is not None:
            lease, call = stream
            call.cancel()
            for channel in self._channels.give_back(lease):
                await channel.close()

    @staticmethod
    async def _receive(stream: _Stream | None) -> Outcome:
        try:
            message = grpc.aio.EOF if stream is None else await stream[1].read()
            return message if isinstance(message, bytes) else None
        except grpc.RpcError as error:
            return call_error(error)

    @staticmethod
    def _open(
        address: str, credentials: grpc.ChannelCredentials, options: tuple[Option, ...]
    ) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(address, credentials, options)
