# ruff: noqa: ASYNC109 -- as in vault.client.aio
"""Custodians' calls, for threads and for asyncio: `VaultClient.keys`, `AsyncVaultClient.keys`."""

from collections.abc import AsyncGenerator, Generator
from typing import Protocol, TypeVar

from vault.client import key_calls
from vault.client.calls import Calls, Steps
from vault.client.key_results import (
    Act,
    ActRequest,
    CarriedOut,
    Control,
    Job,
    KeyKind,
    KeyStatus,
    Rotation,
    Verification,
)
from vault.client.log_calls import StreamSteps

ResultT = TypeVar("ResultT")
ItemT = TypeVar("ItemT")


class Run(Protocol):
    """Carries a call out."""

    def __call__(self, steps: Steps[ResultT], /) -> ResultT: ...


class Stream(Protocol):
    """Carries a stream out."""

    def __call__(self, steps: StreamSteps[ItemT], /) -> Generator[ItemT, None, None]: ...


class AsyncRun(Protocol):
    """Carries a call out."""

    async def __call__(self, steps: Steps[ResultT], /) -> ResultT: ...


class AsyncStream(Protocol):
    """Carries a stream out."""

    def __call__(self, steps: StreamSteps[ItemT], /) -> AsyncGenerator[ItemT, None]: ...


class Keys:
    """What custodians do; `VaultClient.keys`.

    Methods take `timeout` in seconds and raise as those of `VaultClient` do; streams have no
    time limit and end when their caller leaves.
    """

    def __init__(self, calls: Calls, run: Run, stream: Stream) -> None:
        self._calls, self._run, self._stream = calls, run, stream

    def status(self, *, timeout: float | None = None) -> tuple[KeyStatus, ...]:
        """Every key of the tenant, and the log's signing key."""
        return self._run(key_calls.get_status(self._calls, timeout))

    def rotate(
        self,
        kind: KeyKind,
        *,
        cause: str = "scheduled",
        subject_ref: str = "",
        rows_per_second: int = 0,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Rotation:
        """Makes a new version of a key and begins to move everything onto it.

        Args:
            kind: which key.
            cause: `scheduled`, `compromise` or `custodian_change`.
            subject_ref: SUBJECT only: this consumer's key alone.
            rows_per_second: 0: as the vault is configured.
            dry_run: tell what would be done.
            timeout: seconds.

        Sent once: after an UnavailableError, look at `status` before trying again.
        """
        return self._run(
            key_calls.rotate(
                self._calls,
                kind,
                cause=cause,
                subject_ref=subject_ref,
                rows_per_second=rows_per_second,
                dry_run=dry_run,
                timeout=timeout,
            )
        )

    def watch(self, job_id: str) -> Generator[Job, None, None]:
        """A job's state, again and again until it ends."""
        return self._stream(key_calls.watch(job_id))

    def jobs(self, limit: int = 20, *, timeout: float | None = None) -> tuple[Job, ...]:
        """Jobs, the newest first."""
        return self._run(key_calls.list_jobs(self._calls, limit, timeout))

    def control(
        self, job_id: str, what: Control, *, rows_per_second: int = 0, timeout: float | None = None
    ) -> Job:
        """Pauses, resumes or throttles a job."""
        return self._run(key_calls.control(self._calls, job_id, what, rows_per_second, timeout))

    def verify(self) -> Generator[Verification, None, None]:
        """Has every wrapped key read; how far that is, and in the last one what was found."""
        return self._stream(key_calls.verify())

    def request_act(
        self,
        act: Act,
        cause: str,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> ActRequest:
        """Asks for an act that takes two: retire, trim, destroy or widen-policy."""
        return self._run(key_calls.request_act(self._calls, act, cause, idempotency_key, timeout))

    def act_requests(
        self, limit: int = 20, *, only_open: bool = False, timeout: float | None = None
    ) -> tuple[ActRequest, ...]:
        """Requests, the newest first."""
        return self._run(key_calls.list_requests(self._calls, limit, timeout, only_open=only_open))

    def approve(self, request_id: str, digest: str, *, timeout: float | None = None) -> ActRequest:
        """Approves exactly the request with this digest, which another custodian made."""
        return self._run(key_calls.approve(self._calls, request_id, digest, timeout))

    def withdraw(self, request_id: str, *, timeout: float | None = None) -> ActRequest:
        """Takes a request back."""
        return self._run(key_calls.withdraw(self._calls, request_id, timeout))

    def carry_out(
        self, request_id: str, *, dry_run: bool = False, timeout: float | None = None
    ) -> CarriedOut:
        """Carries an approved request out, once. Sent once, too: see `rotate`."""
        return self._run(key_calls.carry_out(self._calls, request_id, timeout, dry_run=dry_run))


class AsyncKeys:
    """The methods of `Keys`, awaited; streams are asynchronous generators."""

    def __init__(self, calls: Calls, run: AsyncRun, stream: AsyncStream) -> None:
        self._calls, self._run, self._stream = calls, run, stream

    async def status(self, *, timeout: float | None = None) -> tuple[KeyStatus, ...]:
        """Every key of the tenant, and the log's signing key."""
        return await self._run(key_calls.get_status(self._calls, timeout))

    async def rotate(
        self,
        kind: KeyKind,
        *,
        cause: str = "scheduled",
        subject_ref: str = "",
        rows_per_second: int = 0,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Rotation:
        """Makes a new version of a key and begins to move everything onto it.

        Args:
            kind: which key.
            cause: `scheduled`, `compromise` or `custodian_change`.
            subject_ref: SUBJECT only: this consumer's key alone.
            rows_per_second: 0: as the vault is configured.
            dry_run: tell what would be done.
            timeout: seconds.

        Sent once: after an UnavailableError, look at `status` before trying again.
        """
        return await self._run(
            key_calls.rotate(
                self._calls,
                kind,
                cause=cause,
                subject_ref=subject_ref,
                rows_per_second=rows_per_second,
                dry_run=dry_run,
                timeout=timeout,
            )
        )

    def watch(self, job_id: str) -> AsyncGenerator[Job, None]:
        """A job's state, again and again until it ends."""
        return self._stream(key_calls.watch(job_id))

    async def jobs(self, limit: int = 20, *, timeout: float | None = None) -> tuple[Job, ...]:
        """Jobs, the newest first."""
        return await self._run(key_calls.list_jobs(self._calls, limit, timeout))

    async def control(
        self, job_id: str, what: Control, *, rows_per_second: int = 0, timeout: float | None = None
    ) -> Job:
        """Pauses, resumes or throttles a job."""
        return await self._run(
            key_calls.control(self._calls, job_id, what, rows_per_second, timeout)
        )

    def verify(self) -> AsyncGenerator[Verification, None]:
        """Has every wrapped key read; how far that is, and in the last one what was found."""
        return self._stream(key_calls.verify())

    async def request_act(
        self,
        act: Act,
        cause: str,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> ActRequest:
        """Asks for an act that takes two: retire, trim, destroy or widen-policy."""
        return await self._run(
            key_calls.request_act(self._calls, act, cause, idempotency_key, timeout)
        )

    async def act_requests(
        self, limit: int = 20, *, only_open: bool = False, timeout: float | None = None
    ) -> tuple[ActRequest, ...]:
        """Requests, the newest first."""
        return await self._run(
            key_calls.list_requests(self._calls, limit, timeout, only_open=only_open)
        )

    async def approve(
        self, request_id: str, digest: str, *, timeout: float | None = None
    ) -> ActRequest:
        """Approves exactly the request with this digest, which another custodian made."""
        return await self._run(key_calls.approve(self._calls, request_id, digest, timeout))

    async def withdraw(self, request_id: str, *, timeout: float | None = None) -> ActRequest:
        """Takes a request back."""
        return await self._run(key_calls.withdraw(self._calls, request_id, timeout))

    async def carry_out(
        self, request_id: str, *, dry_run: bool = False, timeout: float | None = None
    ) -> CarriedOut:
        """Carries an approved request out, once. Sent once, too: see `rotate`."""
        return await self._run(
            key_calls.carry_out(self._calls, request_id, timeout, dry_run=dry_run)
        )
