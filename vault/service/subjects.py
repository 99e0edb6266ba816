"""Subjects by the shop's own references: found, or bound to a fresh handle and key."""

import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vault.crypto.aead import SubjectKey, new_data_key
from vault.crypto.binding import key_context
from vault.crypto.keyring import Keyring
from vault.crypto.transit import WrapItem, Wrapped
from vault.errors import OutdatedKeysError, VaultError
from vault.keys.uses import BLOCK_USES
from vault.model import Digests, SubjectId, TenantId
from vault.rows import DoneWrite, NewSubject, WrappedKeyRow
from vault.service.seal_uses import SealUses
from vault.service.subject_keys import KeyName
from vault.stage import Stage, Trips
from vault.store.claims import Name, Settled
from vault.telemetry.trace import CallTrace

Found = dict[Digests, KeyName]
"""Handle and newest key version by the digests of the reference."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What one write asks for: its subjects, and whether it was done before."""

    tenant: TenantId
    refs: Sequence[Digests] = field(repr=False)
    key: Digests = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Known:
    """The answer to a `Lookup`."""

    subjects: Found
    done: DoneWrite | None


class SubjectStore(Protocol):
    async def find_subjects(
        self, ref_digests: Sequence[bytes]
    ) -> dict[tuple[bytes, TenantId], KeyName]: ...
    async def find_writes(
        self, key_digests: Sequence[bytes]
    ) -> dict[tuple[bytes, TenantId], DoneWrite]: ...
    async def bind_subjects(self, subjects: Sequence[NewSubject]) -> Settled: ...


class Wrapper(Protocol):
    async def wrap(self, items: Sequence[WrapItem]) -> Sequence[Wrapped | VaultError]: ...


class Subjects:
    """Finds and binds subjects; each is one trip for many calls."""

    def __init__(
        self,
        *,
        rows: SubjectStore,
        transit: Wrapper,
        keyring: Keyring,
        uses: SealUses,
        trips: Trips,
        names: tuple[str, str],
        max_trip: int,
        max_queue: int,
        lane_weight: int,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._rows = rows
        self._transit = transit
        self._keyring = keyring
        self._uses = uses
        self._random = random
        find_name, bind_name = names
        self.find_stage: Stage[Lookup, Known] = Stage(
            find_name,
            self._find,
            trips=trips,
            max_trip=max_trip,
            max_queue=max_queue,
            lanes=2,
            lane_weight=lane_weight,
            weigh=lambda lookup: 1 + len(lookup.refs),
        )
        self.bind_stage: Stage[_Binding, Found] = Stage(
            bind_name,
            self._bind,
            trips=trips,
            max_trip=max_trip,
            max_queue=max_queue,
            lanes=2,
            weigh=lambda binding: len(binding.refs),
        )

    async def find(self, lookup: Lookup, rider: CallTrace) -> Known:
        """The subjects that are known, and what was done under the idempotency key.

        Raises:
            VaultError: the database failed.
        """
        return await self.find_stage.submit(lookup, rider)

    async def bind(
        self,
        tenant: TenantId,
        index_versions: tuple[int, ...],
        refs: Sequence[Digests],
        rider: CallTrace,
    ) -> Found:
        """Gives each of these references a handle and a first key. Another call may bind
        one of them at the same time: both get the handle that was first.

        A subject that is bound and then gets no value is harmless: nothing points to it.

        Args:
            tenant: whose.
            index_versions: of the index key, those that are live and that the digests have.
            refs: the digests of each reference.
            rider: whom the trip serves.

        Raises:
            OutdatedKeysError: other versions are live by now.
            VaultError: the key store or the database failed.
        """
        binding = _Binding(tenant, index_versions, tuple(refs))
        return await self.bind_stage.submit(binding, rider)

    async def _find(self, lookups: Sequence[Lookup]) -> Sequence[Known | VaultError]:
        digests = {digest for lookup in lookups for ref in lookup.refs for digest in ref}
        keys = [digest for lookup in lookups for digest in lookup.key]
        found = await self._rows.find_subjects(list(digests)) if digests else {}
        done = await self._rows.find_writes(keys) if keys else {}
        return [
            Known(
                {
                    ref: found[digest, lookup.tenant]
                    for ref in lookup.refs
                    for digest in ref
                    if (digest, lookup.tenant) in found
                },
                next(
                    (
                        done[digest, lookup.tenant]
                        for digest in lookup.key
                        if (digest, lookup.tenant) in done
                    ),
                    None,
                ),
            )
            for lookup in lookups
        ]

    async def _bind(self, bindings: Sequence["_Binding"]) -> Sequence[Found | VaultError]:
        wanted = {
            (ref, binding.tenant): binding.index_versions
            for binding in bindings
            for ref in binding.refs
        }
        generation = self._keyring.generation
        made = [
            _Made(tenant, ref, versions, SubjectId(uuid.UUID(bytes=self._random(16), version=4)))
            for (ref, tenant), versions in wanted.items()
        ]
        new: list[NewSubject] = []
        keys: dict[Name, tuple[SubjectId, SubjectKey]] = {}
        data_keys = [new_data_key(self._random) for _ in made]
        answers = await self._transit.wrap(
            [
                WrapItem(
                    tenant=subject.tenant,
                    secret=data_key,
                    context=key_context(
                        tenant=subject.tenant, subject_id=subject.subject_id, key_version=1
                    ),
                )
                for subject, (data_key, _) in zip(made, data_keys, strict=True)
            ]
        )
        failed: dict[TenantId, VaultError] = {}
        for subject, (data_key, key_salt), answer in zip(made, data_keys, answers, strict=True):
            if isinstance(answer, VaultError):
                failed[subject.tenant] = answer
                continue
            key = SubjectKey(data_key, key_salt)
            keys[subject.ref, subject.tenant] = (subject.subject_id, key)
            new.append(
                NewSubject(
                    ref_digests=subject.ref,
                    index_versions=subject.index_versions,
                    key=WrappedKeyRow(
                        subject_id=subject.subject_id,
                        key_version=1,
                        tenant=subject.tenant,
                        wrapped=answer.wrapped,
                        root_version=answer.root_version,
                        key_salt=key_salt,
                        commitment=key.commitment,
                    ),
                    uses=BLOCK_USES,
                )
            )
        settled = await self._rows.bind_subjects(new) if new else Settled()
        for tenant in settled.outdated:
            failed.setdefault(tenant, OutdatedKeysError())
        found: dict[Name, KeyName] = {}
        for name in settled.mine:
            subject_id, key = keys[name]
            found[name] = (subject_id, 1)
            self._keyring.put(subject_id, 1, key, generation=generation)
            self._uses.grant((subject_id, 1), BLOCK_USES)
        others = [
            (ref, tenant)
            for ref, tenant in wanted
            if (ref, tenant) not in found and tenant not in failed
        ]
        if others:
            known = await self._rows.find_subjects([digest for ref, _ in others for digest in ref])
            for ref, tenant in others:
                for digest in ref:
                    if (digest, tenant) in known:
                        found[ref, tenant] = known[digest, tenant]
        return [failed.get(binding.tenant) or _all(found, binding) for binding in bindings]


@dataclass(frozen=True, slots=True)
class _Binding:
    tenant: TenantId
    index_versions: tuple[int, ...]
    refs: tuple[Digests, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Made:
    tenant: TenantId
    ref: Digests = field(repr=False)
    index_versions: tuple[int, ...]
    subject_id: SubjectId


def _all(found: dict[Name, KeyName], binding: _Binding) -> Found | VaultError:
    own = {
        ref: found[ref, binding.tenant] for ref in binding.refs if (ref, binding.tenant) in found
    }
    # One that was bound by another process and erased since is to be bound anew.
    return own if len(own) == len(set(binding.refs)) else OutdatedKeysError()
