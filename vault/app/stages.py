"""The stages of the hot path: every round trip is shared by the calls that wait for one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vault.app.parts import transit_settings
from vault.app.upkeep import counted
from vault.config import Config
from vault.crypto.keyring import Keyring
from vault.crypto.transit import Transit
from vault.errors import Reason
from vault.rows import Commit, DoneWrite, TokenRow
from vault.service.cases import Cases
from vault.service.index_keys import IndexKeys
from vault.service.seal_uses import SealUses
from vault.service.subject_keys import SubjectKeys
from vault.service.subjects import Subjects
from vault.stage import Stage, Trips
from vault.store.cases import CaseStore
from vault.store.log import LogStore
from vault.store.values import ValueStore
from vault.telemetry import names
from vault.telemetry.metrics import Metrics

_TRIP_ROWS = 4000
"""Rows in one trip to the database: a millisecond's work, so that nobody waits long."""

_LANE_ROWS = 256
"""Rows for which a further lane opens: as many as some forty orders write."""

CommitStage = Stage[Commit, DoneWrite | None]


@dataclass(frozen=True, slots=True)
class Stages:
    """Where calls queue.

    Attributes:
        entries: commits of entries alone.
        writes: commits with a write. Apart, so that one that waits for a lock holds up
            no entry of anybody else.
        loads: token rows.
        keys: subject keys, opened.
        subjects: subjects, found and bound.
        uses: seals that subject keys are charged with.
        cases: what calls are about.
    """

    entries: CommitStage
    writes: CommitStage
    loads: Stage[Sequence[str], dict[str, TokenRow]]
    keys: SubjectKeys
    subjects: Subjects
    uses: SealUses
    cases: Cases

    @property
    def all(self) -> tuple[Stage[Any, Any], ...]:
        """In the order in which they are opened; closed in reverse."""
        return (
            self.entries,
            self.writes,
            self.loads,
            self.keys.stage,
            self.subjects.find_stage,
            self.subjects.bind_stage,
            self.uses.stage,
            self.cases.stage,
        )


def open_stages(
    config: Config,
    *,
    values: ValueStore,
    cases: CaseStore,
    index_keys: IndexKeys,
    log: LogStore,
    transit: Transit,
    keyring: Keyring,
    trips: Trips,
    metrics: Metrics,
) -> Stages:
    """Builds them; nothing is called yet."""
    limits = config.limits

    def commit_stage(name: str, lanes: int) -> CommitStage:
        return Stage(
            name,
            counted(log.commit, metrics),
            trips=trips,
            max_trip=_TRIP_ROWS,
            max_queue=limits.audit_queue,
            lanes=lanes,
            lane_weight=_LANE_ROWS,
            weigh=lambda commit: commit.weight,
            keep_abandoned=True,
            is_item_fault=lambda error: error.reason is Reason.INTERNAL,
        )

    uses = SealUses(
        rows=values,
        trips=trips,
        name=names.TRIP_POSTGRES_USES,
        max_entries=config.cache.max_entries,
        max_trip=_TRIP_ROWS,
        max_queue=limits.row_queue,
    )
    return Stages(
        entries=commit_stage(names.TRIP_POSTGRES_COMMIT, lanes=1),
        writes=commit_stage(names.TRIP_POSTGRES_WRITE, lanes=2),
        loads=Stage(
            names.TRIP_POSTGRES_LOAD,
            values.load_tokens_of_calls,
            trips=trips,
            max_trip=_TRIP_ROWS,
            max_queue=limits.row_queue,
            weigh=len,
        ),
        keys=SubjectKeys(
            rows=values,
            transit=transit,
            keyring=keyring,
            trips=trips,
            name=names.TRIP_TRANSIT_UNWRAP,
            max_trip=2 * transit_settings(config).max_batch,
            max_queue=limits.key_queue,
            lanes=2,
        ),
        subjects=Subjects(
            rows=values,
            transit=transit,
            keyring=keyring,
            uses=uses,
            trips=trips,
            names=(names.TRIP_POSTGRES_RESOLVE, names.TRIP_TRANSIT_WRAP),
            max_trip=_TRIP_ROWS,
            max_queue=limits.row_queue,
            lane_weight=_LANE_ROWS,
        ),
        uses=uses,
        cases=Cases(
            rows=cases,
            index_keys=index_keys,
            trips=trips,
            name=names.TRIP_POSTGRES_CASE,
            max_trip=_TRIP_ROWS,
            max_queue=limits.row_queue,
        ),
    )
