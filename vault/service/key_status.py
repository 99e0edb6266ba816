"""GetKeyStatus: every key of a tenant, how old, what needs each version, and what is to be done.

Guarantees: it shows names, numbers and times, never a key. Counts are of this moment; references
are counted up to a million. Leaves to VerifyRootVersions: what the wrapped texts themselves say.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from vault.clock import Clock
from vault.crypto.transit_admin import RootKey
from vault.keys.jobs import Job, JobKind
from vault.keys.periods import RECOMMENDED, Due, KeyKind, Periods, due, is_longer_than_recommended
from vault.model import SubjectId, TenantId
from vault.policy.bundle import Act
from vault.service.call import Call
from vault.service.custody import require
from vault.service.recorder import Recorder
from vault.store.keys import SubjectKeyFacts
from vault.telemetry import names


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """A version of a key, and what needs it."""

    version: int
    made_at: dt.datetime | None
    rows: int = 0
    backups: int = 0


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """One key; for SUBJECT all subject keys of the tenant together. As `vault.v1.KeyStatus`."""

    kind: KeyKind
    name: str
    version: int
    made_at: dt.datetime | None
    period: dt.timedelta
    due: Due | None
    versions: tuple[KeyVersion, ...]
    min_decryption_version: int = 0
    min_available_version: int = 0
    max_uses: int = 0
    keys_near_limit: int = 0
    advice: tuple[str, ...] = ()
    job: Job | None = None


class KeyReader(Protocol):
    """Custody's session of Transit. Raises VaultError (KEY_STORE_*)."""

    def root_key(self, tenant: str) -> str: ...
    async def read_key(self, name: str) -> RootKey: ...


class KeyRows(Protocol):
    """`vault.store.keys.KeyStore`. Raises VaultError."""

    async def rows_by_root_version(self, tenant: TenantId) -> dict[int, int]: ...
    async def index_versions(self, tenant: TenantId) -> list[tuple[int, dt.datetime]]: ...
    async def refs_by_index_version(self, tenant: TenantId) -> dict[int, int]: ...
    async def subject_facts(self, tenant: TenantId) -> SubjectKeyFacts: ...


class Backups(Protocol):
    """`vault.store.backups.BackupStore`. Raises VaultError."""

    async def backups_needing(self, tenant: TenantId) -> Mapping[int, int]: ...


class OpenJobs(Protocol):
    """`vault.store.jobs.JobStore`. Raises VaultError."""

    async def under_way(
        self, tenant: TenantId, kind: JobKind, subject_id: SubjectId | None
    ) -> Job | None: ...


class KeyStatusReader:
    """The procedure."""

    def __init__(
        self,
        *,
        transit: KeyReader,
        rows: KeyRows,
        jobs: OpenJobs,
        backups: Backups,
        signing_key: str,
        periods: Periods,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._transit = transit
        self._rows = rows
        self._jobs = jobs
        self._backups = backups
        self._signing_key = signing_key
        self._periods = periods
        self._recorder = recorder
        self._clock = clock

    async def get_status(self, call: Call) -> list[KeyStatus]:
        """The keys of the caller's tenant, and the log's signing key.

        Raises:
            VaultError: the caller may not, or the key store or the database failed.
        """
        require(call, Act.READ_KEYS)
        call.trace.mark(names.STAGE_LOAD)
        found = await self.read(call.tenant)
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
        return found

    async def read(self, tenant: TenantId) -> list[KeyStatus]:
        """The same, asked by the service itself.

        Raises:
            VaultError: the key store or the database failed.
        """
        return [
            await self._root(tenant),
            await self._index(tenant),
            await self._subject(tenant),
            await self._signing(tenant),
        ]

    async def _root(self, tenant: TenantId) -> KeyStatus:
        key = await self._transit.read_key(self._transit.root_key(tenant))
        rows = await self._rows.rows_by_root_version(tenant)
        backups = await self._backups.backups_needing(tenant)
        job = await self._jobs.under_way(tenant, JobKind.ROOT, None)
        versions = tuple(
            KeyVersion(
                number, key.versions.get(number), rows.get(number, 0), backups.get(number, 0)
            )
            for number in sorted({*key.versions, *rows, *backups})
        )
        made_at = key.versions.get(key.latest)
        period = self._periods.of(tenant, KeyKind.ROOT)
        when = self._due(made_at, period)
        advice = self._period_advice(KeyKind.ROOT, period, when, job)
        old = [each for each in versions if each.version < key.latest]
        if job is None and any(each.rows for each in old):
            advice.append("rows need an older version: rotate, which moves them")
        idle = [
            each.version
            for each in old
            if not each.rows and not each.backups and each.version >= key.min_decryption_version
        ]
        if job is None and idle and all(not each.rows for each in old):
            advice.append(f"nothing needs version {_list(idle)}: verify, then retire below it")
        return KeyStatus(
            kind=KeyKind.ROOT,
            name=key.name,
            version=key.latest,
            made_at=made_at,
            period=period,
            due=when,
            versions=versions,
            min_decryption_version=key.min_decryption_version,
            min_available_version=key.min_available_version,
            advice=tuple(advice),
            job=job,
        )

    async def _index(self, tenant: TenantId) -> KeyStatus:
        made = dict(await self._rows.index_versions(tenant))
        rows = await self._rows.refs_by_index_version(tenant)
        job = await self._jobs.under_way(tenant, JobKind.INDEX, None)
        newest = max(made, default=0)
        period = self._periods.of(tenant, KeyKind.INDEX)
        when = self._due(made.get(newest), period)
        return KeyStatus(
            kind=KeyKind.INDEX,
            name="index",
            version=newest,
            made_at=made.get(newest),
            period=period,
            due=when,
            versions=tuple(
                KeyVersion(number, made.get(number), rows.get(number, 0))
                for number in sorted({*made, *rows})
            ),
            advice=tuple(self._period_advice(KeyKind.INDEX, period, when, job)),
            job=job,
        )

    async def _subject(self, tenant: TenantId) -> KeyStatus:
        facts = await self._rows.subject_facts(tenant)
        job = await self._jobs.under_way(tenant, JobKind.SUBJECT, None)
        period = self._periods.of(tenant, KeyKind.SUBJECT)
        when = self._due(facts.oldest, period)
        advice = self._period_advice(KeyKind.SUBJECT, period, when, job)
        if facts.near_limit and job is None:
            advice.append(f"{facts.near_limit} keys have sealed more than 2^31 times: rotate them")
        return KeyStatus(
            kind=KeyKind.SUBJECT,
            name="subjects",
            version=facts.version,
            made_at=facts.oldest,
            period=period,
            due=when,
            versions=(),
            max_uses=facts.max_uses,
            keys_near_limit=facts.near_limit,
            advice=tuple(advice),
            job=job,
        )

    async def _signing(self, tenant: TenantId) -> KeyStatus:
        key = await self._transit.read_key(self._signing_key)
        made_at = key.versions.get(key.latest)
        period = self._periods.of(tenant, KeyKind.SIGNING)
        when = self._due(made_at, period)
        return KeyStatus(
            kind=KeyKind.SIGNING,
            name=key.name,
            version=key.latest,
            made_at=made_at,
            period=period,
            due=when,
            versions=tuple(KeyVersion(number, made) for number, made in key.versions.items()),
            min_decryption_version=key.min_decryption_version,
            min_available_version=key.min_available_version,
            advice=tuple(self._period_advice(KeyKind.SIGNING, period, when, None)),
        )

    def _due(self, made_at: dt.datetime | None, period: dt.timedelta) -> Due | None:
        if made_at is None:
            return None
        now = dt.datetime.fromtimestamp(self._clock.unix_ns() / 1e9, dt.UTC)
        return due(made_at, period, now)

    def _period_advice(
        self, kind: KeyKind, period: dt.timedelta, when: Due | None, job: Job | None
    ) -> list[str]:
        advice = []
        if when is not None and when.is_over and job is None:
            advice.append(f"due since {when.at:%Y-%m-%d %H:%M} UTC: rotate")
        if is_longer_than_recommended(kind, period):
            advice.append(
                f"a crypto-period of {period.days} days is longer than NIST SP 800-57 suggests "
                f"({RECOMMENDED[kind].days})"
            )
        return advice


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
