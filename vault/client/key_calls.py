"""The calls of custodians, and of those who erase, as procedures without I/O.

What reads is tried again as any call; so is what can be repeated (approve, withdraw, request with
its idempotency key, erase). Rotating, steering a job and carrying out are sent once: whoever
is left without an answer asks for the state first.
"""

import re
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from vault.client import key_results as read
from vault.client.calls import Attempt, Calls, Method, Steps, read_answer
from vault.client.errors import invalid_request
from vault.client.key_results import Act, ActRequest, Control, Job, KeyKind
from vault.client.log_calls import Give, Next, Open, StreamSteps
from vault.client.requests import new_idempotency_key
from vault.client.trace import trace_metadata
from vault.errors import Reason
from vault.v1 import keys_pb2, subjects_pb2

AnswerT = TypeVar("AnswerT", bound=Message)

_KEYS = "vault.v1.KeyService"
_SUBJECTS = "vault.v1.SubjectService"
GET_STATUS = Method(f"{_KEYS}/GetKeyStatus", keys_pb2.GetKeyStatusResponse)
ROTATE = Method(f"{_KEYS}/RotateKey", keys_pb2.RotateKeyResponse)
WATCH = Method(f"{_KEYS}/WatchJob", keys_pb2.WatchJobResponse)
LIST_JOBS = Method(f"{_KEYS}/ListJobs", keys_pb2.ListJobsResponse)
CONTROL = Method(f"{_KEYS}/ControlJob", keys_pb2.ControlJobResponse)
VERIFY = Method(f"{_KEYS}/VerifyRootVersions", keys_pb2.VerifyRootVersionsResponse)
REQUEST = Method(f"{_KEYS}/RequestAct", keys_pb2.RequestActResponse)
LIST_REQUESTS = Method(f"{_KEYS}/ListActRequests", keys_pb2.ListActRequestsResponse)
APPROVE = Method(f"{_KEYS}/ApproveAct", keys_pb2.ApproveActResponse)
WITHDRAW = Method(f"{_KEYS}/WithdrawAct", keys_pb2.WithdrawActResponse)
CARRY_OUT = Method(f"{_KEYS}/CarryOutAct", keys_pb2.CarryOutActResponse)
ERASE = Method(f"{_SUBJECTS}/EraseSubject", subjects_pb2.EraseSubjectResponse)
GET_ERASURE = Method(f"{_SUBJECTS}/GetErasure", subjects_pb2.GetErasureResponse)


def get_status(calls: Calls, timeout: float | None) -> Steps[tuple[read.KeyStatus, ...]]:
    answer = yield from _call(calls, GET_STATUS, keys_pb2.GetKeyStatusRequest(), timeout)
    return tuple(read.read_status(key) for key in answer.keys)


def rotate(
    calls: Calls,
    kind: KeyKind,
    *,
    cause: str,
    subject_ref: str,
    rows_per_second: int,
    dry_run: bool,
    timeout: float | None,
) -> Steps[read.Rotation]:
    request = keys_pb2.RotateKeyRequest(
        kind=kind.value,  # type: ignore[arg-type]  # the generated enum is an int
        cause=cause,
        subject_ref=subject_ref,
        rows_per_second=rows_per_second,
        dry_run=dry_run,
    )
    return read.read_rotation((yield from _once(calls, ROTATE, request, timeout)))


def watch(job_id: str) -> StreamSteps[Job]:
    request = keys_pb2.WatchJobRequest(job_id=job_id)
    yield Open(WATCH.rpc, request.SerializeToString(), trace_metadata(None))
    while (outcome := (yield Next())) is not None:
        yield Give(read.read_job(read_answer(WATCH, outcome).job))


def verify() -> StreamSteps[read.Verification]:
    request = keys_pb2.VerifyRootVersionsRequest()
    yield Open(VERIFY.rpc, request.SerializeToString(), trace_metadata(None))
    while (outcome := (yield Next())) is not None:
        yield Give(read.read_verification(read_answer(VERIFY, outcome)))


def list_jobs(calls: Calls, limit: int, timeout: float | None) -> Steps[tuple[Job, ...]]:
    request = keys_pb2.ListJobsRequest(page_size=limit)
    answer = yield from _call(calls, LIST_JOBS, request, timeout)
    return tuple(read.read_job(job) for job in answer.jobs)


def control(
    calls: Calls, job_id: str, what: Control, rows_per_second: int, timeout: float | None
) -> Steps[Job]:
    request = keys_pb2.ControlJobRequest(
        job_id=job_id,
        control=what.value,  # type: ignore[arg-type]  # the generated enum is an int
        rows_per_second=rows_per_second,
    )
    return read.read_job((yield from _once(calls, CONTROL, request, timeout)).job)


def request_act(
    calls: Calls, act: Act, cause: str, key: str | None, timeout: float | None
) -> Steps[ActRequest]:
    request = keys_pb2.RequestActRequest(
        act=act_message(act), cause=cause, idempotency_key=key or new_idempotency_key()
    )
    return read.read_request((yield from _call(calls, REQUEST, request, timeout)).request)


def list_requests(
    calls: Calls, limit: int, timeout: float | None, *, only_open: bool
) -> Steps[tuple[ActRequest, ...]]:
    request = keys_pb2.ListActRequestsRequest(page_size=limit, only_open=only_open)
    answer = yield from _call(calls, LIST_REQUESTS, request, timeout)
    return tuple(read.read_request(one) for one in answer.requests)


def approve(calls: Calls, request_id: str, digest: str, timeout: float | None) -> Steps[ActRequest]:
    request = keys_pb2.ApproveActRequest(request_id=request_id, request_digest=digest)
    return read.read_request((yield from _call(calls, APPROVE, request, timeout)).request)


def withdraw(calls: Calls, request_id: str, timeout: float | None) -> Steps[ActRequest]:
    request = keys_pb2.WithdrawActRequest(request_id=request_id)
    return read.read_request((yield from _call(calls, WITHDRAW, request, timeout)).request)


def carry_out(
    calls: Calls, request_id: str, timeout: float | None, *, dry_run: bool
) -> Steps[read.CarriedOut]:
    request = keys_pb2.CarryOutActRequest(request_id=request_id, dry_run=dry_run)
    answer = yield from _once(calls, CARRY_OUT, request, timeout)
    return read.CarriedOut(
        read.read_request(answer.request), answer.effect, tuple(answer.obstacles)
    )


def erase(
    calls: Calls,
    *,
    subject_ref: str | None,
    token: str | None,
    cause: str,
    dry_run: bool,
    timeout: float | None,
) -> Steps[read.Erased]:
    if (subject_ref is None) == (token is None):
        raise invalid_request(
            Reason.FIELD_INVALID, "subject", "give either a subject_ref or a token"
        )
    request = subjects_pb2.EraseSubjectRequest(cause=cause, dry_run=dry_run)
    if token is None:
        request.subject_ref = subject_ref or ""
    else:
        request.token = token
    answer = yield from _call(calls, ERASE, request, timeout)
    erasure = read.read_erasure(answer.erasure) if answer.HasField("erasure") else None
    return read.Erased(erasure, answer.tokens)


def get_erasure(calls: Calls, erasure_id: str, timeout: float | None) -> Steps[read.Erasure]:
    request = subjects_pb2.GetErasureRequest(erasure_id=erasure_id)
    answer = yield from _call(calls, GET_ERASURE, request, timeout)
    return read.read_erasure(answer.erasure)


def act_message(act: Act) -> keys_pb2.Act:
    """The message of an act.

    Raises:
        InvalidRequestError: no such act, or not its argument.
    """
    make: dict[str, Callable[[str], keys_pb2.Act]] = {
        "retire": lambda version: keys_pb2.Act(
            retire=keys_pb2.RetireRootVersions(min_decryption_version=_version(version))
        ),
        "trim": lambda version: keys_pb2.Act(
            trim=keys_pb2.TrimRootVersions(min_available_version=_version(version))
        ),
        "destroy": lambda tenant: keys_pb2.Act(destroy=keys_pb2.DestroyRootKey(tenant=tenant)),
        "widen-policy": lambda digest: keys_pb2.Act(
            widen_policy=keys_pb2.WidenPolicy(bundle_digest=digest)
        ),
    }
    if act.name not in make:
        raise invalid_request(Reason.FIELD_INVALID, "act", f"is one of {', '.join(make)}")
    return make[act.name](act.argument)


def _version(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise invalid_request(Reason.FIELD_INVALID, "act", "the version is a number from 1")
    return int(text)


def _call(
    calls: Calls, method: Method[AnswerT], request: Message, timeout: float | None
) -> Steps[AnswerT]:
    return (yield from calls.call(method, request, calls.deadline(timeout), trace_metadata(None)))


def _once(
    calls: Calls, method: Method[AnswerT], request: Message, timeout: float | None
) -> Steps[AnswerT]:
    seconds = calls.deadline(timeout) - calls.now()
    metadata = trace_metadata(None)
    return read_answer(
        method, (yield Attempt(method.rpc, request.SerializeToString(), seconds, metadata))
    )
