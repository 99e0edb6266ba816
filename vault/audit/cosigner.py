"""Has witnesses cosign the log's checkpoints, and hears what they know of it.

Guarantees: nothing waits for a witness: publication, sequencing and calls go on without
one (docs/adr/0012-witnesses.md). A cosignature is kept only if it verifies under the configured
key. All witnesses are asked about the same checkpoint, so that their cosignatures meet on one.
Only the process whose sequencer leads asks for cosignatures. Every process asks, until one
witness has answered, whether the log was once larger than it is.
"""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault.audit.alarms import Alarm, Alarms, TreeDamageError
from vault.audit.merkle import EMPTY_ROOT
from vault.audit.note import Note, NoteError, parse_note
from vault.audit.signer import CheckpointSigner
from vault.audit.witness import Fault, WitnessError
from vault.audit.witness_client import Prover, WitnessClient
from vault.clock import Clock
from vault.errors import VaultError
from vault.rows import CheckpointRow, CosignatureRow
from vault.telemetry.logs import Log

_log = Log("vault.audit")

_ROUND_S = 0.25
"""How often it looks for a new checkpoint."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
"""Before a witness that failed is asked again; twice as long each time."""
COSIGNED = "cosigned"
_REFUSALS = frozenset({Fault.INCONSISTENT, Fault.AHEAD})


class CheckpointLog(Protocol):
    """What is published (`vault.store.tree.TreeReader`). Raises VaultError."""

    async def size(self) -> int: ...
    async def newest_checkpoint(self) -> CheckpointRow | None: ...


Keep = Callable[[CosignatureRow], Awaitable[None]]
"""Stores a cosignature (`vault.store.cosignatures`). Raises VaultError."""


@dataclass(slots=True, eq=False)
class _Witness:
    """One witness as seen from here; times are monotonic, in nanoseconds.

    Attributes:
        current_ns: when it last had cosigned what was the newest checkpoint then.
        is_refusing: it says that the log is not the one that it knows.
        failures: in a row.
    """

    client: WitnessClient
    current_ns: int
    cosigned: int = 0
    is_refusing: bool = False
    failures: int = 0
    retry_ns: int = 0
    task: asyncio.Task[None] | None = None


class Cosigner:
    """One process's dealings with all witnesses.

    Args:
        quorum: witnesses that must have cosigned a checkpoint for it to count as witnessed.
        lag_seconds: how long that may take before an alarm sounds.
        keep: None in a process that never leads.
        is_leader: whether this process's sequencer leads.
    """

    def __init__(
        self,
        *,
        witnesses: Sequence[WitnessClient],
        quorum: int,
        lag_seconds: float,
        log: CheckpointLog,
        prove: Prover,
        keep: Keep | None,
        signer: CheckpointSigner,
        is_leader: Callable[[], bool],
        alarms: Alarms,
        clock: Clock,
    ) -> None:
        now = clock.monotonic_ns()
        self._witnesses = [_Witness(client, now) for client in witnesses]
        self._quorum = quorum
        self._lag_ns = int(lag_seconds * 1e9)
        self._log = log
        self._prove = prove
        self._keep = keep
        self._signer = signer
        self._is_leader = is_leader
        self._alarms = alarms
        self._clock = clock
        self._has_heard = False
        self._sent: dict[int, tuple[int, set[str]]] = {}
        self._witnessed = 0
        self._witnessed_ns = now
        self._behind_ns = 0
        self.outcomes: Counter[str] = Counter()
        """Requests by what became of them: `COSIGNED` or a `Fault`."""

    def lag(self) -> float:
        """Seconds that published leaves have waited for a witnessed checkpoint; 0 when none do."""
        return self._behind_ns / 1e9

    async def check(self) -> None:
        """Asks all witnesses how large the log was.

        If none answers there is an alarm, and `run` goes on asking.

        Raises:
            TreeDamageError: ROLLED_BACK: one knows a larger tree than the stored one.
            VaultError: the database or Transit does not answer.
        """
        row = await self._log.newest_checkpoint()
        # Nothing published: then the empty tree's, which is consistent with any.
        text = await self._signer.sign(0, EMPTY_ROOT) if row is None else row.note
        note, size = parse_note(text.encode()), 0 if row is None else row.size

        async def ask(witness: _Witness) -> int | None:
            try:
                return await witness.client.probe(note, size)
            except WitnessError as error:
                self._count_fault(witness, error)
                return None

        answers = await asyncio.gather(*map(ask, self._witnesses))
        sizes = [size for size in answers if size is not None]
        self._has_heard = self._has_heard or bool(sizes)
        if not sizes:
            self._alarms.sound(Alarm.WITNESS_DOWN)
        # Looked at only now: another process may have published meanwhile.
        if sizes and max(sizes) > await self._log.size():
            raise TreeDamageError(Alarm.ROLLED_BACK, max(sizes))

    async def run(self) -> None:
        """Asks, until cancelled."""
        try:
            while True:
                try:
                    await self._step()
                except VaultError as error:
                    _log.warning("witness.waits", reason=error.reason.name)
                except Exception as error:  # noqa: BLE001  it must outlive any surprise
                    _log.failure("witness.failed", error)
                await asyncio.sleep(_ROUND_S)
        finally:
            tasks = [one.task for one in self._witnesses if one.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for one in self._witnesses:
                one.client.close()

    async def _step(self) -> None:
        now = self._clock.monotonic_ns()
        if not self._has_heard:
            await self._hear(now)
        # What may be damaged is shown to nobody.
        elif self._is_leader() and self._keep is not None and not self._alarms.is_halted:
            await self._round(now, self._keep)
        else:
            self._stand_by(now)

    async def _hear(self, now: int) -> None:
        if any(now < one.retry_ns for one in self._witnesses):
            return
        try:
            await self.check()
        except TreeDamageError as error:
            self._alarms.sound(error.alarm, at=error.at)

    def _stand_by(self, now: int) -> None:
        self._sent.clear()
        self._witnessed_ns, self._behind_ns = now, 0
        for one in self._witnesses:
            one.current_ns, one.is_refusing = now, False
        for alarm in (Alarm.WITNESS_LAG, Alarm.WITNESS_DOWN, Alarm.WITNESS_REFUSED):
            self._alarms.settle(alarm)

    async def _round(self, now: int, keep: Keep) -> None:
        row = await self._log.newest_checkpoint()
        if row is None:
            self._stand_by(now)
            return
        try:
            note = parse_note(row.note.encode())
        except NoteError:  # the sequencer's and the patrol's matter
            return
        self._sent.setdefault(row.size, (now, set()))
        for one in self._witnesses:
            if one.task is None and one.cosigned < row.size and now >= one.retry_ns:
                one.task = asyncio.create_task(self._ask(one, row, note, keep))
        # One that failed last time is not waited for.
        prompt = [one.task for one in self._witnesses if one.task is not None and not one.failures]
        if prompt:
            await asyncio.wait(prompt)
        for one in self._witnesses:
            if one.task is not None and one.task.done():
                one.task = None
        self._judge(row, self._clock.monotonic_ns())

    async def _ask(self, one: _Witness, row: CheckpointRow, note: Note, keep: Keep) -> None:
        """One exchange with one witness."""
        began = self._clock.monotonic_ns()
        try:
            cosigned = await one.client.cosign(note, row.size, self._prove)
            at = dt.datetime.fromtimestamp(self._clock.unix_ns() / 1e9, dt.UTC)
            await keep(CosignatureRow(row.size, one.client.name, str(cosigned.line), at))
        except WitnessError as error:
            # A process that led before may have published more, and had it cosigned.
            if error.fault is Fault.AHEAD and await self._is_known(error.size):
                return
            self._count_fault(one, error)
            return
        except VaultError as error:
            _log.warning("witness.waits", reason=error.reason.name)
            return
        self.outcomes[COSIGNED] += 1
        one.failures, one.is_refusing = 0, False
        one.cosigned, one.current_ns = row.size, began
        if row.size in self._sent:
            self._sent[row.size][1].add(one.client.name)

    async def _is_known(self, size: int) -> bool:
        try:
            return await self._log.size() >= size
        except VaultError:
            return True  # nobody knows

    def _count_fault(self, one: _Witness, error: WitnessError) -> None:
        self.outcomes[error.fault.value] += 1
        if not one.failures:
            _log.warning("witness.refused", witness=one.client.name, cause=error.fault.value)
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**one.failures)
        one.failures = min(one.failures + 1, 16)
        one.retry_ns = self._clock.monotonic_ns() + int(pause * 1e9)
        one.is_refusing = error.fault in _REFUSALS
        if one.is_refusing:
            self._alarms.sound(Alarm.WITNESS_REFUSED, at=error.size)

    def _judge(self, newest: CheckpointRow, now: int) -> None:
        """What is witnessed by now, and the delays."""
        for size, (sent_ns, names) in sorted(self._sent.items()):
            if size > self._witnessed and len(names) >= max(1, self._quorum):
                self._witnessed, self._witnessed_ns = size, sent_ns
        # The newest ones are enough: nobody is waited for longer than an answer takes.
        for size in sorted(self._sent)[:-64]:
            del self._sent[size]
        if newest.size <= self._witnessed:
            self._witnessed_ns = now
        self._behind_ns = now - self._witnessed_ns
        for one in self._witnesses:
            if newest.size <= one.cosigned:
                one.current_ns = now
        is_down = any(now - one.current_ns > self._lag_ns for one in self._witnesses)
        is_late = self._quorum > 0 and self._behind_ns > self._lag_ns
        is_refused = any(one.is_refusing for one in self._witnesses)
        for alarm, is_on in (
            (Alarm.WITNESS_DOWN, is_down),
            (Alarm.WITNESS_LAG, is_late),
            (Alarm.WITNESS_REFUSED, is_refused),
        ):
            if is_on:
                self._alarms.sound(alarm, at=newest.size)
            else:
                self._alarms.settle(alarm)
