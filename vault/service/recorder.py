"""Gives a call's account to the log; the one way by which entries get there.

Guarantees: when a method returns, the entries are durable. An account that was given
to the log is committed even if its call is cancelled meanwhile, so a call never
leaves two accounts of itself, nor none. Left to `vault.store.log`: durability.
"""

from collections.abc import Sequence
from typing import Protocol

from vault.audit.account import Account, EntryIds
from vault.errors import Reason, VaultError
from vault.model import Verdict
from vault.rows import Commit, DoneWrite, EntryRow, NewWrite, TokenRow
from vault.telemetry.trace import CallTrace


class CommitStage(Protocol):
    """A stage that makes trips to `vault.store.log.LogStore.commit`."""

    async def submit(self, item: Commit, rider: CallTrace) -> DoneWrite | None: ...


class Recorder:
    """Turns accounts into durable entries."""

    def __init__(self, *, entries: CommitStage, writes: CommitStage, ids: EntryIds) -> None:
        self._entries = entries
        self._writes = writes
        self._ids = ids

    async def record(self, account: Account, rider: CallTrace) -> None:
        """Makes the entries of a call that went its way durable.

        Raises:
            VaultError: AUDIT_UNAVAILABLE, OVERLOADED or SHUTTING_DOWN: no entry was written.
        """
        await self._commit(account, Commit(entries=account.close(self._ids)), rider)

    async def record_failure(
        self, account: Account, reason: Reason, verdict: Verdict, rider: CallTrace
    ) -> None:
        """Makes the entries of a call that ended with an error durable.

        Raises:
            VaultError: as `record`.
        """
        entries = account.close_failed(self._ids, reason, verdict)
        await self._commit(account, Commit(entries=entries), rider)

    async def record_write(
        self, account: Account, write: NewWrite, tokens: Sequence[TokenRow], rider: CallTrace
    ) -> DoneWrite | None:
        """Makes a write and its entries durable, together.

        Returns:
            None, or what was done before under the same idempotency key; then nothing
            was stored now and the account is open again.

        Raises:
            VaultError: as `record`, or OUTCOME_UNKNOWN.
        """
        commit = Commit(entries=account.close(self._ids), write=write, tokens=tuple(tokens))
        done = await self._commit(account, commit, rider)
        if done is not None:
            account.is_closed = False
        return done

    def close(self, account: Account) -> tuple[EntryRow, ...]:
        """The entries of a call for somebody who makes them durable with what the call did.
        If that fails, the account has to be open again (`is_closed`).
        """
        return account.close(self._ids)

    async def record_closed(
        self, account: Account, entries: tuple[EntryRow, ...], rider: CallTrace
    ) -> None:
        """Makes entries of `close` durable by themselves.

        Raises:
            VaultError: as `record`.
        """
        await self._commit(account, Commit(entries=entries), rider)

    async def _commit(self, account: Account, commit: Commit, rider: CallTrace) -> DoneWrite | None:
        try:
            stage = self._entries if commit.write is None else self._writes
            return await stage.submit(commit, rider)
        except VaultError:
            account.is_closed = False
            raise
