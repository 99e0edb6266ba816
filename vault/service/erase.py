"""EraseSubject and GetErasure: keys, references and values of a consumer go, for good.

The steps carry the numbers of docs/request-path.md; 1 (identify) and 2 (decode) come
before, in `vault.rpc.boundary`, 8 (reply) after. From step 6 on the procedure goes on even if
its caller leaves: what the ledger says is carried out.
"""

import asyncio
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vault.clock import Clock
from vault.crypto.tokens import TokenForm, token_form
from vault.errors import Reason, VaultError, invalid
from vault.keys.ledger import EraseLine, Head
from vault.model import SubjectId, TenantId, Verdict
from vault.policy.bundle import Act
from vault.rows import EntryRow, TokenRow
from vault.service.call import Call
from vault.service.ledger import Held, Ledger, now
from vault.service.recorder import Recorder
from vault.store.erasures import ErasureRow, Repeat
from vault.telemetry import names
from vault.telemetry.logs import Log
from vault.telemetry.trace import CallTrace

_log = Log("vault.service")

_CACHE_MARGIN = dt.timedelta(seconds=10)
"""A key that was being opened when its row went is cached a moment later."""
DRY_RUN = "dry_run"
"""Stands in the entry's `field` when nothing was erased."""


@dataclass(frozen=True, slots=True)
class EraseCommand:
    """An EraseSubject request that is well formed: a reference, or a token."""

    subject_ref: str | None = field(repr=False)
    token: str | None = field(repr=False)
    cause: str
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is certified.

    Attributes:
        caches_empty_at: when no process can have a key any more.
        complete_at: when no declared backup can bring the values back; None: none can.
    """

    row: ErasureRow
    caches_empty_at: dt.datetime
    complete_at: dt.datetime | None


class Erasures(Protocol):
    """The database's side, with the custodians' role."""

    async def newest_applied(self) -> Head | None: ...
    async def intend(self, index: int) -> None: ...
    async def give_up(self, index: int) -> None: ...
    async def erase(
        self,
        line: EraseLine,
        head: Head,
        entries: Sequence[EntryRow],
        *,
        repeat: Repeat | None = None,
    ) -> ErasureRow: ...
    async def find_by_subject(self, subject: SubjectId) -> ErasureRow | None: ...
    async def find(self, erasure_id: uuid.UUID) -> ErasureRow | None: ...
    async def find_repeat(self, repeat: Repeat, tenant: TenantId) -> SubjectId | None: ...
    async def count_tokens(self, subject: SubjectId) -> int: ...


class Backups(Protocol):
    """Where backups are on record."""

    async def latest_keep_until(
        self, *, created_at: dt.datetime | None, erased_at: dt.datetime
    ) -> dt.datetime | None: ...


class Mender(Protocol):
    """Finishes what a crash cut off, while the ledger is held."""

    async def mend(self, held: Held) -> None: ...


class References(Protocol):
    """From a shop's reference to a subject."""

    async def find(self, call: Call, subject_ref: str) -> SubjectId | None: ...
    async def repeat(self, call: Call, subject_ref: str) -> Repeat: ...


class TokenLoader(Protocol):
    async def submit(self, item: Sequence[str], rider: CallTrace) -> dict[str, TokenRow]: ...


class Eraser:
    """The procedures.

    Args:
        forget: drops a subject's keys from this process's memory.
        max_age_seconds: how long any process keeps an opened key.
    """

    def __init__(
        self,
        *,
        store: Erasures,
        backups: Backups,
        ledger: Ledger,
        mender: Mender,
        references: References,
        tokens: TokenLoader,
        recorder: Recorder,
        forget: Callable[[SubjectId], None],
        max_age_seconds: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._backups = backups
        self._ledger = ledger
        self._mender = mender
        self._references = references
        self._tokens = tokens
        self._recorder = recorder
        self._forget = forget
        self._caches_empty = dt.timedelta(seconds=max_age_seconds) + _CACHE_MARGIN
        self._clock = clock
        self._at_work: set[asyncio.Future[Any]] = set()

    async def close(self) -> None:
        """Waits for erasures whose callers have left."""
        while self._at_work:
            await asyncio.wait(self._at_work)

    async def erase_subject(
        self, call: Call, command: EraseCommand
    ) -> tuple[Certificate | None, int]:
        """The certificate, once nothing of the subject opens; and how many tokens it has.

        A subject that was erased before has the same certificate. No certificate: a dry run.

        Raises:
            VaultError: the caller may not; SUBJECT_UNKNOWN, TOKEN_UNKNOWN, TOKEN_MALFORMED;
                LEDGER_NOT_REPLAYED, AUDIT_UNAVAILABLE: nothing was erased; OUTCOME_UNKNOWN: it
                is in the ledger and will be done, repeat the call for the certificate.
        """
        # 3. Decide.
        self._decide(call, Act.ERASE_SUBJECT)

        # 4. Find the subject: by the reference, or by a token of the caller's own tenant.
        call.trace.mark(names.STAGE_RESOLVE)
        subject, repeat = await self._find(call, command)
        call.account.subject_id = subject
        erased = await self._store.find_by_subject(subject)

        # 5. Erased already, or only asked: make the entry durable and say so.
        if command.dry_run:
            call.account.field = DRY_RUN
        if erased is not None or command.dry_run:
            tokens = await self._store.count_tokens(subject) if erased is None else erased.tokens
            call.trace.mark(names.STAGE_AUDIT)
            await self._recorder.record(call.account, call.trace)
            certificate = None if erased is None else await self._certificate(erased)
            return (None if command.dry_run else certificate), tokens

        # 6 and 7, even if the caller leaves: so the account is closed first.
        call.trace.mark(names.STAGE_COMMIT)
        entries = self._recorder.close(call.account)
        line = EraseLine(
            erasure_id=uuid.uuid4(),
            tenant=call.tenant,
            subject_id=subject,
            time=now(self._clock),
            cause=command.cause,
        )
        row = await self._to_its_end(call, self._carry_out(call, line, entries, repeat))
        return await self._certificate(row), row.tokens

    async def get_erasure(self, call: Call, erasure_id: uuid.UUID) -> Certificate:
        """The certificate of an erasure in the caller's tenant.

        Raises:
            VaultError: the caller may not; ERASURE_UNKNOWN.
        """
        self._decide(call, Act.GET_ERASURE)
        call.trace.mark(names.STAGE_LOAD)
        row = await self._store.find(erasure_id)
        if row is None or row.tenant != call.tenant:
            raise VaultError(Reason.ERASURE_UNKNOWN, "there is no such erasure")
        call.account.subject_id = row.subject_id
        certificate = await self._certificate(row)
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
        return certificate

    async def _carry_out(
        self, call: Call, line: EraseLine, entries: tuple[EntryRow, ...], repeat: Repeat | None
    ) -> ErasureRow:
        # 6. Write it down outside the database, durably; alone, with database and ledger agreeing.
        async with self._ledger.hold(write=True) as held:
            await self._mender.mend(held)
            erased = await self._store.find_by_subject(line.subject_id)
            if erased is not None:  # by another call, since step 4
                await self._recorder.record_closed(call.account, entries, call.trace)
                return erased
            head = await self._write_down(held, line)

            # 7. Destroy, certify and record, in one transaction that tells every process.
            try:
                row = await self._store.erase(line, head, entries, repeat=repeat)
            except VaultError as error:
                _log.error("erasure.unfinished", error=error)
                raise VaultError(
                    Reason.OUTCOME_UNKNOWN,
                    "the erasure is in the ledger and will be carried out; repeat the call",
                    retry_after_ms=1000,
                ) from error
        self._forget(line.subject_id)
        return row

    async def _write_down(self, held: Held, line: EraseLine) -> Head:
        applied = await self._store.newest_applied()
        index = 1 if applied is None else applied.index + 1
        # Said before, so that a crash from here on is told from a database that was restored.
        await self._store.intend(index)
        try:
            return await held.add(line)
        except VaultError:
            try:
                await self._store.give_up(index)
            except VaultError as error:
                _log.warning("ledger.intent_left", error=error)
            raise

    async def _to_its_end(self, call: Call, work: Awaitable[ErasureRow]) -> ErasureRow:
        """The result of work that goes on if the call is cut short.

        Its entries are the log's already, so that nobody else records the call: if the work
        fails, the account is opened again, by whoever is there.
        """
        task = asyncio.ensure_future(work)
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            follower = asyncio.ensure_future(self._follow(call, task))
            self._at_work.add(follower)
            follower.add_done_callback(self._at_work.discard)
            raise
        except BaseException:
            call.account.is_closed = False
            raise

    async def _follow(self, call: Call, task: "asyncio.Future[ErasureRow]") -> None:
        try:
            await task
        except Exception as fault:  # noqa: BLE001 - whatever it was, the call must not go unrecorded
            reason = fault.reason if isinstance(fault, VaultError) else Reason.INTERNAL
            call.account.is_closed = False
            try:
                await self._recorder.record_failure(
                    call.account, reason, Verdict.FAILED, call.trace
                )
            except VaultError as failure:
                _log.error("audit.unrecorded", error=failure, reason=reason.name)

    async def _find(self, call: Call, command: EraseCommand) -> tuple[SubjectId, Repeat | None]:
        if command.token is not None:
            return await self._find_by_token(call, command.token), None
        subject_ref = command.subject_ref or ""
        repeat = await self._references.repeat(call, subject_ref)
        subject = await self._references.find(call, subject_ref)
        if subject is None:
            subject = await self._store.find_repeat(repeat, call.tenant)
        if subject is None:
            raise VaultError(Reason.SUBJECT_UNKNOWN, "there is no such subject")
        return subject, repeat

    async def _find_by_token(self, call: Call, token: str) -> SubjectId:
        if token_form(token) is not TokenForm.GOOD:
            raise invalid(Reason.TOKEN_MALFORMED, "token", "has a wrong check sequence")
        row = (await self._tokens.submit([token], call.trace)).get(token)
        if row is None or row.tenant != call.tenant:
            raise VaultError(Reason.TOKEN_UNKNOWN, "there is no such token")
        return row.subject_id

    async def _certificate(self, row: ErasureRow) -> Certificate:
        return Certificate(
            row,
            caches_empty_at=row.erased_at + self._caches_empty,
            complete_at=await self._backups.latest_keep_until(
                created_at=row.subject_since, erased_at=row.erased_at
            ),
        )

    def _decide(self, call: Call, act: Act) -> None:
        call.trace.mark(names.STAGE_POLICY)
        decision = call.bundle.decide_act(call.principal, act)
        if not decision.is_allowed:
            raise VaultError(decision.reason, "the caller may not")
