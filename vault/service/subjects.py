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
from vault.errors import Reason, VaultError
from vault.model import SubjectId, TenantId
from vault.rows import DoneWrite, NewSubject, WrappedKeyRow
from vault.service.subject_keys import KeyName
from vault.stage import Stage, Trips
from vault.telemetry.trace import CallTrace

Found = dict[bytes, KeyName]
"""Handle and newest key version by reference digest."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What one write asks for: its subjects, and whether it was done before."""

    tenant: TenantId
    ref_digests: Sequence[bytes] = field(repr=False)
    key_digest: bytes = field(repr=False)


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
    async def bind_subjects(
        self, subjects: Sequence[NewSubject]
    ) -> set[tuple[bytes, TenantId]]: ...


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
        trips: Trips,
        names: tuple[str, str],
        max_trip: int,
        max_queue: int,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._rows = rows
        self._transit = transit
        self._keyring = keyring
        self._random = random
        find_name, bind_name = names
        self.find_stage: Stage[Lookup, Known] = Stage(
            find_name,
            self._find,
            trips=trips,
            max_trip=max_trip,
            max_queue=max_queue,
            lanes=2,
            weigh=lambda lookup: 1 + len(lookup.ref_digests),
        )
        self.bind_stage: Stage[_Binding, Found] = Stage(
            bind_name,
            self._bind,
            trips=trips,
            max_trip=max_trip,
            max_queue=max_queue,
            lanes=2,
            weigh=lambda binding: len(binding.ref_digests),
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
        index_key_version: int,
        ref_digests: Sequence[bytes],
        rider: CallTrace,
    ) -> Found:
        """Gives each of these references a handle and a first key. Another call may bind
        one of them at the same time: both get the handle that was first.

        A subject that is bound and then gets no value is harmless: nothing points to it.

        Raises:
            VaultError: the key store or the database failed.
        """
        binding = _Binding(tenant, index_key_version, tuple(ref_digests))
        return await self.bind_stage.submit(binding, rider)

    async def _find(self, lookups: Sequence[Lookup]) -> Sequence[Known | VaultError]:
        digests = list({digest for lookup in lookups for digest in lookup.ref_digests})
        found = await self._rows.find_subjects(digests) if digests else {}
        done = await self._rows.find_writes([lookup.key_digest for lookup in lookups])
        return [
            Known(
                _own(found, lookup.tenant, lookup.ref_digests),
                done.get((lookup.key_digest, lookup.tenant)),
            )
            for lookup in lookups
        ]

    async def _bind(self, bindings: Sequence["_Binding"]) -> Sequence[Found | VaultError]:
        wanted = {
            (digest, binding.tenant): binding.index_key_version
            for binding in bindings
            for digest in binding.ref_digests
        }
        generation = self._keyring.generation
        made = [
            _Made(tenant, digest, version, SubjectId(uuid.UUID(bytes=self._random(16), version=4)))
            for (digest, tenant), version in wanted.items()
        ]
        new: list[NewSubject] = []
        keys: dict[tuple[bytes, TenantId], tuple[SubjectId, SubjectKey]] = {}
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
            keys[subject.ref_digest, subject.tenant] = (subject.subject_id, key)
            new.append(
                NewSubject(
                    ref_digest=subject.ref_digest,
                    index_key_version=subject.index_key_version,
                    key=WrappedKeyRow(
                        subject_id=subject.subject_id,
                        key_version=1,
                        tenant=subject.tenant,
                        wrapped=answer.wrapped,
                        root_version=answer.root_version,
                        key_salt=key_salt,
                        commitment=key.commitment,
                    ),
                )
            )
        mine = await self._rows.bind_subjects(new) if new else set()
        for name in mine:
            subject_id, key = keys[name]
            self._keyring.put(subject_id, 1, key, generation=generation)
        found: dict[tuple[bytes, TenantId], KeyName] = {name: (keys[name][0], 1) for name in mine}
        others = [
            digest
            for digest, tenant in wanted
            if (digest, tenant) not in mine and tenant not in failed
        ]
        if others:
            found |= await self._rows.find_subjects(others)
        return [failed.get(binding.tenant) or _all(found, binding) for binding in bindings]


@dataclass(frozen=True, slots=True)
class _Binding:
    tenant: TenantId
    index_key_version: int
    ref_digests: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Made:
    tenant: TenantId
    ref_digest: bytes = field(repr=False)
    index_key_version: int
    subject_id: SubjectId


def _own(
    found: dict[tuple[bytes, TenantId], KeyName], tenant: TenantId, digests: Sequence[bytes]
) -> Found:
    return {digest: found[digest, tenant] for digest in digests if (digest, tenant) in found}


def _all(found: dict[tuple[bytes, TenantId], KeyName], binding: _Binding) -> Found | VaultError:
    own = _own(found, binding.tenant, binding.ref_digests)
    if len(own) != len(set(binding.ref_digests)):
        return VaultError(Reason.INTERNAL, "a subject was bound and is not there")
    return own
