"""What the rotation of subjects' keys is: new data keys, and every value sealed anew under them.

Guarantees: a value opens at every moment, under the key that its row names; what is stored
meanwhile under an old key is refused and sealed again (`vault.store.claims`) or found
by the last phase; an old key goes only when nothing needs it. Values stay in this process's
memory, for as long as a batch takes. The phases (docs/adr/0019-subject-keys-resealed.md):

    reseal   each subject's key and values, in one transaction
    grace    until nobody opens or stores a value with an old key
    remove   what was stored under old keys meanwhile is resealed, and old keys go

Leaves to `vault.service.jobs`: who works when.
"""

import datetime as dt
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from vault.crypto.aead import DecryptError, SubjectKey, new_data_key
from vault.crypto.binding import field_aad, key_context
from vault.crypto.index_key import IndexChain
from vault.crypto.transit import Unopenable, UnwrapItem, Unwrapped, WrapItem, Wrapped
from vault.errors import Reason, VaultError
from vault.keys.jobs import Advanced, Job, JobKind, Lease, Phase, Plan
from vault.model import Digests, SubjectId, TenantId
from vault.rows import TokenRow, WrappedKeyRow
from vault.service.subject_keys import KeyName
from vault.store.reseal import Replacement, Seal

RESEAL, GRACE, REMOVE = "reseal", "grace", "remove"
_SUBJECTS = 50
"""Most subjects of one transaction: it holds their keys for some 20 ms."""
_SETTLE_S = 10.0
_AGAIN_S = 1.0


class Rows(Protocol):
    """`vault.store.reseal.ResealStore`. Raises VaultError."""

    async def find(self, tenant: TenantId, ref: Digests) -> tuple[SubjectId, int] | None: ...
    async def count(self, tenant: TenantId) -> tuple[int, int]: ...
    async def settled(self, *, within_seconds: float) -> bool: ...
    async def keys_to_replace(
        self, lease: Lease, only: SubjectId | None, *, before: dt.datetime, limit: int
    ) -> dict[SubjectId, list[WrappedKeyRow]]: ...
    async def keys_to_remove(
        self, lease: Lease, only: SubjectId | None, *, limit: int
    ) -> dict[SubjectId, list[WrappedKeyRow]]: ...
    async def replace(
        self,
        lease: Lease,
        replacements: Sequence[Replacement],
        seal: Seal,
        *,
        cursor: bytes,
        failed: int,
        is_last: bool,
    ) -> Advanced: ...
    async def remove(
        self,
        lease: Lease,
        subjects: Sequence[SubjectId],
        seal: Seal,
        *,
        cursor: bytes,
        is_last: bool,
    ) -> Advanced: ...
    async def notify(self, subject: SubjectId | None) -> None: ...


class Wrapper(Protocol):
    """The service's own session of Transit; custody's neither wraps nor unwraps."""

    async def wrap(self, items: Sequence[WrapItem]) -> Sequence[Wrapped | VaultError]: ...
    async def unwrap(
        self, items: Sequence[UnwrapItem]
    ) -> Sequence[Unwrapped | Unopenable | VaultError]: ...


class References(Protocol):
    """`vault.service.index_keys.IndexKeys`."""

    async def get(self, tenant: TenantId) -> IndexChain: ...


class SubjectMover:
    """Gives subjects new data keys, and seals their values under them.

    Args:
        grace_seconds: longer than any call may last that has read a value's row.
    """

    kind = JobKind.SUBJECT

    def __init__(
        self,
        *,
        rows: Rows,
        transit: Wrapper,
        index_keys: References,
        grace_seconds: float,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._rows = rows
        self._transit = transit
        self._index_keys = index_keys
        self._grace_seconds = grace_seconds
        self._random = random

    async def plan(self, tenant: TenantId, subject_ref: str | None) -> Plan:
        """All subjects of the tenant, or one.

        Raises:
            VaultError: SUBJECT_UNKNOWN; or the key store or the database failed.
        """
        if subject_ref is None:
            rows, version = await self._rows.count(tenant)
            subject = None
        else:
            index = await self._index_keys.get(tenant)
            found = await self._rows.find(tenant, index.subject_ref(subject_ref))
            if found is None:
                raise VaultError(Reason.SUBJECT_UNKNOWN, "there is no such consumer")
            rows, (subject, version) = 1, found
        return Plan(
            kind=self.kind,
            tenant=tenant,
            key_name="subjects" if subject is None else subject.hex,
            from_version=max(1, version),
            to_version=max(1, version) + 1,
            rows=rows,
            subject_id=subject,
        )

    async def next_phase(self, job: Job) -> Phase | None:
        """See the module's docstring, and `vault.service.jobs.Mover`."""
        if not job.phase:
            rows = 1 if job.subject_id else (await self._rows.count(job.tenant))[0]
            return Phase(RESEAL, rows=rows)
        if job.phase == RESEAL:
            return Phase(GRACE, parts=0, wait_seconds=self._grace_seconds)
        if job.phase == GRACE:
            if not await self._rows.settled(within_seconds=_SETTLE_S):
                return Phase(GRACE, parts=0, wait_seconds=_AGAIN_S)
            await self._rows.notify(job.subject_id)
            return Phase(REMOVE)
        return None

    async def move(self, job: Job, lease: Lease, limit: int) -> Advanced:
        """Reseals the values, or removes the old keys, of the next subjects of a part.

        Raises:
            LeaseLostError, VaultError: as `vault.service.jobs.Mover.move`.
        """
        limit = min(limit, _SUBJECTS)
        if job.phase == RESEAL:
            return await self._replace(job, lease, limit)
        keys = await self._rows.keys_to_remove(lease, job.subject_id, limit=limit)
        opened = await self._open([row for rows in keys.values() for row in rows])
        newest = {
            subject: opened.get((subject, rows[-1].key_version)) for subject, rows in keys.items()
        }
        return await self._rows.remove(
            lease,
            list(keys),
            _sealing(opened, newest),
            cursor=_cursor(lease, keys),
            is_last=len(keys) < limit,
        )

    async def _replace(self, job: Job, lease: Lease, limit: int) -> Advanced:
        keys = await self._rows.keys_to_replace(
            lease, job.subject_id, before=job.started_at, limit=limit
        )
        opened = await self._open([row for rows in keys.values() for row in rows])
        before = {
            subject: rows[-1].key_version
            for subject, rows in keys.items()
            if (subject, rows[-1].key_version) in opened
        }
        replacements, newest = await self._make(job.tenant, before)
        return await self._rows.replace(
            lease,
            replacements,
            _sealing(opened, newest),
            cursor=_cursor(lease, keys),
            failed=len(keys) - len(replacements),
            is_last=len(keys) < limit,
        )

    async def _make(
        self, tenant: TenantId, before: Mapping[SubjectId, int]
    ) -> tuple[list[Replacement], dict[SubjectId, SubjectKey]]:
        """A new key for each of these subjects."""
        made = {subject: new_data_key(self._random) for subject in before}
        answers = await self._transit.wrap(
            [
                WrapItem(
                    tenant=tenant,
                    secret=data_key,
                    context=key_context(
                        tenant=tenant, subject_id=subject, key_version=before[subject] + 1
                    ),
                )
                for subject, (data_key, _) in made.items()
            ]
        )
        replacements: list[Replacement] = []
        newest: dict[SubjectId, SubjectKey] = {}
        for (subject, (data_key, key_salt)), answer in zip(made.items(), answers, strict=True):
            if isinstance(answer, VaultError):
                raise answer
            newest[subject] = key = SubjectKey(data_key, key_salt)
            row = WrappedKeyRow(
                subject_id=subject,
                key_version=before[subject] + 1,
                tenant=tenant,
                wrapped=answer.wrapped,
                root_version=answer.root_version,
                key_salt=key_salt,
                commitment=key.commitment,
            )
            replacements.append(Replacement(before[subject], row))
        return replacements, newest

    async def _open(self, rows: Sequence[WrappedKeyRow]) -> dict[KeyName, SubjectKey]:
        """The keys of these rows; one that does not open is left out."""
        answers = await self._transit.unwrap(
            [
                UnwrapItem(
                    tenant=row.tenant,
                    wrapped=row.wrapped,
                    context=key_context(
                        tenant=row.tenant, subject_id=row.subject_id, key_version=row.key_version
                    ),
                )
                for row in rows
            ]
        )
        opened: dict[KeyName, SubjectKey] = {}
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(answer, VaultError):
                raise answer
            if isinstance(answer, Unopenable):
                continue
            try:
                key = SubjectKey.check(
                    answer.secret, key_salt=row.key_salt, commitment=row.commitment
                )
            except DecryptError:
                continue
            opened[row.subject_id, row.key_version] = key
        return opened


def _sealing(
    opened: Mapping[KeyName, SubjectKey], newest: Mapping[SubjectId, SubjectKey | None]
) -> Seal:
    def seal(token: TokenRow) -> bytes | None:
        old = opened.get((token.subject_id, token.key_version))
        new = newest.get(token.subject_id)
        if old is None or new is None:
            return None
        aad = field_aad(
            tenant=token.tenant,
            subject_id=token.subject_id,
            field_type=token.field_type,
            token=token.token,
        )
        try:
            return new.seal(old.open(token.envelope, aad), aad)
        except DecryptError:
            return None

    return seal


def _cursor(lease: Lease, keys: Mapping[SubjectId, object]) -> bytes:
    return max(keys).bytes if keys else lease.cursor
