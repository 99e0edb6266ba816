"""Every call of the vault as a procedure without I/O.

A procedure is a generator: it yields what has to be done next (an `Attempt` to
send, a `Pause` to sit out), is sent what came of it (the answer's bytes, or the
error), and returns the result. The two clients only carry the steps out, so
deadlines, retries, splitting and the reading of answers exist once.
"""

import enum
import logging
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from random import random
from typing import Any, Generic, TypeAlias, TypeVar

from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2

from vault.client import requests, results
from vault.client.errors import VaultCallError, answer_unfit, deadline_passed
from vault.client.requests import Subject, Wanted
from vault.client.retry import Retrying, RetryPolicy
from vault.client.trace import Metadata, trace_metadata
from vault.errors import Reason
from vault.model import View
from vault.v1 import audit_pb2, policy_pb2, tokens_pb2

_log = logging.getLogger("vault.client")

AnswerT = TypeVar("AnswerT", bound=Message)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Method(Generic[AnswerT]):
    """One RPC: "PACKAGE.SERVICE/NAME" and the class of its answer."""

    rpc: str
    answer: type[AnswerT]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Send this once; `timeout` in seconds. Its outcome is bytes or a VaultCallError."""

    rpc: str
    request: bytes = field(repr=False)
    timeout: float
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait. Its outcome is None."""

    seconds: float


Step: TypeAlias = Attempt | Pause
Outcome: TypeAlias = bytes | VaultCallError | None
Steps: TypeAlias = Generator[Step, Outcome, ResultT]


class Health(enum.IntEnum):
    """What the vault says of itself; numbers as in `grpc.health.v1`."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


TOKENIZE = Method("vault.v1.TokenService/Tokenize", tokens_pb2.TokenizeResponse)
DETOKENIZE = Method("vault.v1.TokenService/Detokenize", tokens_pb2.DetokenizeResponse)
LIST_ENTRIES = Method("vault.v1.AuditService/ListEntries", audit_pb2.ListEntriesResponse)
GET_BUNDLE = Method("vault.v1.PolicyService/GetBundle", policy_pb2.GetBundleResponse)
RELOAD_BUNDLE = Method("vault.v1.PolicyService/ReloadBundle", policy_pb2.ReloadBundleResponse)
# grpc_health ships no types, hence Any.
CHECK_HEALTH: Method[Any] = Method("grpc.health.v1.Health/Check", health_pb2.HealthCheckResponse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The procedures, with what all calls of one client share.

    Attributes:
        timeout: seconds for a whole call, all attempts and waits included, where
            the call does not say otherwise.
        retry: when to try again.
        on_retry: told of each retry, before its wait; it must not block.
        now: seconds on a clock that is never set back.
        random: a number in [0, 1), for jitter.
    """

    timeout: float
    retry: RetryPolicy
    on_retry: Callable[[Retrying], None] | None = None
    now: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random

    def tokenize(
        self,
        subjects: Iterable[Subject | tuple[str, Mapping[str, str]]],
        *,
        idempotency_key: str | None,
        all_or_nothing: bool,
        case: str,
        timeout: float | None,
        traceparent: str | None,
    ) -> Steps[results.TokenizeOutcome]:
        deadline, metadata = self.deadline(timeout), trace_metadata(traceparent)
        asked = requests.read_subjects(subjects)
        key = requests.new_idempotency_key() if idempotency_key is None else idempotency_key
        done: list[results.SubjectTokens] = []
        call_ids: list[str] = []
        for request in requests.tokenize_requests(
            asked, idempotency_key=key, all_or_nothing=all_or_nothing, case=case
        ):
            try:
                answer = yield from self.call(TOKENIZE, request, deadline, metadata)
                part = asked[len(done) : len(done) + len(request.subjects)]
                done += results.read_tokenized(answer, part)
            except VaultCallError as error:
                raise error.moved("subjects", len(done), key) from error.__cause__
            call_ids.append(answer.call_id)
        return results.TokenizeOutcome(tuple(done), key, tuple(call_ids))

    def detokenize(
        self,
        purpose: str,
        tokens: Iterable[str | Wanted],
        *,
        view: View | None,
        all_or_nothing: bool,
        case: str,
        timeout: float | None,
        traceparent: str | None,
    ) -> Steps[results.DetokenizeOutcome]:
        deadline, metadata = self.deadline(timeout), trace_metadata(traceparent)
        asked = requests.read_wanted(tokens, view)
        done: list[results.RevealedItem] = []
        call_ids: list[str] = []
        for request in requests.detokenize_requests(
            purpose, asked, all_or_nothing=all_or_nothing, case=case
        ):
            try:
                answer = yield from self.call(DETOKENIZE, request, deadline, metadata)
                part = asked[len(done) : len(done) + len(request.items)]
                done += results.read_detokenized(answer, part)
            except VaultCallError as error:
                raise error.moved("items", len(done), None) from error.__cause__
            call_ids.append(answer.call_id)
        return results.DetokenizeOutcome(tuple(done), tuple(call_ids))

    def entries_page(
        self,
        request: audit_pb2.ListEntriesRequest,
        *,
        timeout: float | None,
        traceparent: str | None,
    ) -> Steps[list[results.Entry]]:
        """One page; `request` is left asking for the next, without a page token after the last."""
        answer = yield from self.call(
            LIST_ENTRIES, request, self.deadline(timeout), trace_metadata(traceparent)
        )
        request.page_token = answer.next_page_token
        return [results.read_entry(entry) for entry in answer.entries]

    def get_bundle(
        self, *, timeout: float | None, traceparent: str | None
    ) -> Steps[results.Bundle]:
        answer = yield from self.call(
            GET_BUNDLE,
            policy_pb2.GetBundleRequest(),
            self.deadline(timeout),
            trace_metadata(traceparent),
        )
        return results.read_bundle(answer.bundle)

    def reload_bundle(
        self, *, timeout: float | None, traceparent: str | None
    ) -> Steps[results.Reloaded]:
        answer = yield from self.call(
            RELOAD_BUNDLE,
            policy_pb2.ReloadBundleRequest(),
            self.deadline(timeout),
            trace_metadata(traceparent),
        )
        return results.Reloaded(results.read_bundle(answer.bundle), answer.changed)

    def check_health(self, service: str, *, timeout: float | None) -> Steps[Health]:
        """One attempt only: who asks wants to know how it is now."""
        request = health_pb2.HealthCheckRequest(service=service)
        seconds = self.deadline(timeout) - self.now()
        outcome = yield Attempt(CHECK_HEALTH.rpc, request.SerializeToString(), seconds, ())
        status = int(read_answer(CHECK_HEALTH, outcome).status)
        return Health(status) if status in set(Health) else Health.UNKNOWN

    def call(
        self, method: Method[AnswerT], request: Message, deadline: float, metadata: Metadata
    ) -> Steps[AnswerT]:
        """Attempts until one is answered, none is left, or the deadline is near."""
        content = request.SerializeToString()
        attempt = 1
        explained: VaultCallError | None = None
        while True:
            remaining = deadline - self.now()
            if remaining <= 0:
                raise explained or deadline_passed()
            outcome = yield Attempt(method.rpc, content, remaining, metadata)
            if not isinstance(outcome, VaultCallError):
                return read_answer(method, outcome)
            wait = self.retry.wait(
                outcome, attempt=attempt, remaining=deadline - self.now(), random=self.random
            )
            if wait is None:
                # That time ran out says less than why the attempt before had failed.
                is_bare = outcome.reason is Reason.DEADLINE_EXCEEDED and not outcome.call_id
                raise explained if explained and is_bare else outcome
            explained = outcome if outcome.call_id else explained
            self.tell(
                Retrying(method.rpc, attempt, wait, outcome.reason, outcome.status, outcome.call_id)
            )
            yield Pause(wait)
            attempt += 1

    def tell(self, retrying: Retrying) -> None:
        """Says that there will be another attempt."""
        _log.info(
            "%s: attempt %d ended with %s (%s), next in %.3f s",
            retrying.rpc,
            retrying.attempt,
            retrying.status.name,
            retrying.reason.name,
            retrying.wait,
        )
        if self.on_retry is not None:
            self.on_retry(retrying)

    def deadline(self, timeout: float | None) -> float:
        """When a call that begins now has to be over, on the clock of `now`."""
        return self.now() + (self.timeout if timeout is None else timeout)


def read_answer(method: Method[AnswerT], outcome: Outcome) -> AnswerT:
    if isinstance(outcome, VaultCallError):
        raise outcome
    try:
        return method.answer.FromString(outcome or b"")
    except DecodeError as error:
        raise answer_unfit("the answer's bytes are not the message of this RPC") from error
