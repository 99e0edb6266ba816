"""What goes on beside the calls: housekeeping, and what metrics read.

Guarantees: every task here ends when it is cancelled, and none can end the service.
"""

import asyncio
import contextlib
import ctypes
import datetime as dt
import functools
import gc
import resource
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from vault.audit.alarms import Alarms
from vault.audit.cosigner import Cosigner
from vault.audit.sequencer import Sequencer
from vault.clock import Clock
from vault.config_files import certificate_end
from vault.crypto.keyring import Keyring
from vault.crypto.transit import Transit
from vault.errors import Reason, VaultError
from vault.policy.bundle import Bundle
from vault.rows import Commit, DoneWrite
from vault.store.log import LogStore
from vault.telemetry import names
from vault.telemetry.kinds import Vocabulary
from vault.telemetry.logs import Log
from vault.telemetry.loop_lag import LoopLag
from vault.telemetry.metrics import Metrics, Readings

_log = Log("vault.app")

CommitResults = list[DoneWrite | VaultError | None]

_RETENTION = dt.timedelta(hours=25)
"""Idempotency keys are promised for 24 hours; the hour covers clocks and sweeping."""
_SWEEP_S = 600.0
_CANCEL_S = 0.5
_PR_SET_DUMPABLE = 4
_COLLECT = (20_000, 20, 100)
"""Objects that begin a collection of the youngest, and how many of those begin the next ones. By
default 700, 10 and 10: a collection every few calls, which leave no cycles."""
_STATES = {Reason.KEY_STORE_SEALED: "sealed", Reason.KEY_STORE_DENIED: "denied"}


def forbid_core_dumps() -> None:
    """A crash must not write keys to a disk; nor may another process of ours read our memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def collect_seldom() -> None:
    """The collector of cycles looks seldom: what calls make is freed without it."""
    gc.set_threshold(*_COLLECT)


def today(clock: Clock) -> dt.date:
    return dt.datetime.fromtimestamp(clock.unix_ns() / 1e9, dt.UTC).date()


@functools.lru_cache(8)  # asked for each record that becomes spans
def words_of(bundle: Bundle) -> Vocabulary:
    return Vocabulary(purposes=frozenset(bundle.purposes), tenants=frozenset((*bundle.tenants, "")))


def watch(
    metrics: Metrics,
    *,
    keyring: Keyring,
    transit: Transit,
    lag: LoopLag,
    sequencer: Sequencer,
    cosigner: Cosigner | None,
    alarms: Alarms,
    queues: Callable[[], Readings],
    certificate: Path,
    clock: Clock,
) -> None:
    """Tells metrics where the values come from that nobody counts."""
    metrics.watch(names.KEY_CACHE_HITS, lambda: {(): keyring.counts().hits})
    metrics.watch(names.KEY_CACHE_MISSES, lambda: {(): keyring.counts().misses})
    metrics.watch(names.KEY_CACHE_SIZE, lambda: {(): keyring.counts().entries})
    metrics.watch(
        names.KEY_CACHE_EVICTIONS,
        lambda: {(): sum(keyring.counts().evictions.values())},
    )
    metrics.watch(names.TRIP_QUEUE, queues)
    metrics.watch(names.LOOP_LAG, lag.read)
    metrics.watch(names.LOG_SIZE, lambda: {(): sequencer.state.size})
    metrics.watch(names.LOG_PENDING, lambda: {(): sequencer.state.pending})
    metrics.watch(names.LOG_LAG, lambda: {(): sequencer.state.lag})
    metrics.watch(names.CHECKPOINT_AGE, lambda: {(): sequencer.checkpoint_age()})
    metrics.watch(names.LOG_ALARM, lambda: {(alarm.value,): 1 for alarm in alarms.active})
    if cosigner is not None:
        metrics.watch(
            names.WITNESS_REQUESTS,
            lambda: {(outcome,): count for outcome, count in cosigner.outcomes.copy().items()},
        )
        metrics.watch(names.WITNESS_LAG, lambda: {(): cosigner.lag()})
    metrics.watch(names.TRANSIT_STATE, lambda: {(_state_of(transit),): 1})
    metrics.watch(
        names.CERTIFICATE_EXPIRY,
        lambda: {(): certificate_end(certificate) - clock.unix_ns() / 1e9},
    )


def _state_of(transit: Transit) -> str:
    down = transit.state
    return "ready" if down is None else _STATES.get(down.reason, "unavailable")


def counted(
    commit: Callable[[Sequence[Commit]], Awaitable[CommitResults]], metrics: Metrics
) -> Callable[[Sequence[Commit]], Awaitable[CommitResults]]:
    """The same commit; one that fails is counted and logged, whether or not anybody waits."""

    async def attempt(calls: Sequence[Commit]) -> CommitResults:
        try:
            return await commit(calls)
        except VaultError as error:
            metrics.count_audit_failure()
            _log.error("audit.commit_failed", error=error, count=len(calls))
            raise

    return attempt


async def expire(keyring: Keyring) -> None:
    while True:
        await asyncio.sleep(1)
        keyring.expire()


async def sweep(log: LogStore) -> None:
    while True:
        await asyncio.sleep(_SWEEP_S)
        try:
            await log.sweep_writes(_RETENTION)
        except VaultError as error:
            _log.warning("sweep.failed", error=error)


async def cancelled(task: "asyncio.Task[None]") -> None:
    """Ends a task that runs for ever.

    Again and again: what fails while it ends (to give back a lock on a database that is gone, say)
    takes the place of the cancellation, and the task takes that for one more failure to outlive.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_CANCEL_S)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.failure("task.fault", error)
