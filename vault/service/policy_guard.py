"""Which policy bundle may come into force: one that lets nothing more happen, or was approved.

docs/custody.md, "Policy that widens", is the contract. Guarantees: against what was last accepted,
a bundle that lets more happen comes into force only with an approved request for exactly its
digest, used once. The first bundle of a database is accepted as it is. Leaves to
`vault.policy.reach`: what more is.
"""

import asyncio
from dataclasses import dataclass, field

from vault.audit.entry import EntryAct
from vault.errors import Reason, VaultError, Violation
from vault.keys.acts import StoredAct, Widen, encode_act
from vault.policy.bundle import Bundle
from vault.policy.faults import BundleError
from vault.policy.holder import BundleHolder
from vault.policy.reach import ReachFormatError, decode_reach, encode_reach, reach_of, widened
from vault.service.approvals import Approvals
from vault.store.accepted import AcceptedBundle, AcceptedStore
from vault.store.acts import ActStore, ActWork

_ATTEMPTS = 3
"""Two processes that accept at once: one has to look again."""


@dataclass(frozen=True, slots=True)
class Custodians:
    """What only a process with the custodians' logins has."""

    store: ActStore
    approvals: Approvals


@dataclass(frozen=True, slots=True)
class Admission:
    """A bundle that may come into force.

    Attributes:
        number: its place among the accepted ones; None: nothing is to be noted.
        request: the approved request that lets it; None where none is needed.
    """

    bundle: Bundle
    number: int | None = None
    reach: bytes = field(default=b"", repr=False)
    request: StoredAct | None = None

    @property
    def act(self) -> EntryAct | None:
        """For the entry."""
        if self.request is None:
            return None
        return EntryAct(self.request.asked.request_id, self.request.asked.digest)


class PlaceTakenError(Exception):
    """Another process accepted a bundle meanwhile, or used the request."""


class PolicyGuard:
    """One for the process."""

    def __init__(self, *, holder: BundleHolder, accepted: AcceptedStore) -> None:
        self._holder = holder
        self._accepted = accepted
        self.custodians: Custodians | None = None
        """Set where this process serves custodians; without them it can only compare."""

    async def read(self) -> Bundle:
        """The bundle in the folder.

        Raises:
            VaultError: BUNDLE_INVALID, with a violation for every fault.
        """
        try:
            return await asyncio.to_thread(self._holder.read)
        except BundleError as error:
            raise VaultError(
                Reason.BUNDLE_INVALID,
                f"the bundle has {len(error.faults)} faults; the old one stays in force",
                violations=error.faults,
            ) from error

    def put(self, bundle: Bundle) -> tuple[Bundle, bool]:
        """Puts an admitted bundle in force; returns as `BundleHolder.put`."""
        return self._holder.put(bundle)

    async def weigh(self, fresh: Bundle) -> Admission:
        """Whether a bundle may come into force; changes nothing.

        Raises:
            VaultError: APPROVAL_MISSING, with what it lets happen beyond what was accepted;
                DATABASE_UNAVAILABLE, KEY_STORE_*.
        """
        newest = await self._accepted.newest()
        if newest is not None and newest.digest == fresh.digest:
            return Admission(fresh)
        wider, reach = await asyncio.to_thread(_compare, newest, fresh)
        number = 1 if newest is None else newest.number + 1
        if not wider:
            # An older bundle, on a host that lags behind, must not take the newest one's place.
            is_known = newest is not None and await self._accepted.was_accepted(fresh.digest)
            if is_known or self.custodians is None:
                return Admission(fresh)
            return Admission(fresh, number, reach)
        request = await self._approved(fresh)
        if request is None:
            raise VaultError(
                Reason.APPROVAL_MISSING,
                "the bundle lets more happen than the accepted one; custodians have to approve it",
                violations=wider,
            )
        return Admission(fresh, number, reach, request)

    async def wider(self, fresh: Bundle) -> tuple[Violation, ...]:
        """What a bundle lets happen beyond what was accepted."""
        return (await asyncio.to_thread(_compare, await self._accepted.newest(), fresh))[0]

    async def is_newest(self, digest: bytes) -> bool:
        """Whether this is what was accepted last."""
        newest = await self._accepted.newest()
        return newest is not None and newest.digest == digest

    async def admit(self, admission: Admission, *, by: str) -> None:
        """Notes a bundle as accepted, and its request as carried out: both or neither.

        Raises:
            VaultError: as `weigh`, if things changed meanwhile; ACT_CLOSED.
        """
        for _ in range(_ATTEMPTS):
            if admission.number is None or self.custodians is None:
                return
            try:
                async with self.custodians.store.work() as work:
                    if admission.request is not None and not await work.use(admission.request, by):
                        raise PlaceTakenError
                    await note(work, admission)
                return
            except PlaceTakenError:
                admission = await self.weigh(admission.bundle)
        raise VaultError(
            Reason.DATABASE_UNAVAILABLE,
            "other processes accept bundles at the same time",
            retry_after_ms=500,
        )

    async def place(self, fresh: Bundle, request: StoredAct) -> Admission:
        """The admission of a bundle by a request that its caller has checked."""
        newest = await self._accepted.newest()
        _, reach = await asyncio.to_thread(_compare, newest, fresh)
        return Admission(fresh, 1 if newest is None else newest.number + 1, reach, request)

    async def _approved(self, fresh: Bundle) -> StoredAct | None:
        if self.custodians is None:
            return None
        for stored in await self.custodians.store.approved(encode_act(Widen(fresh.digest))):
            try:
                await self.custodians.approvals.check(self._holder.current, stored)
            except VaultError as error:
                if error.reason in _NO_APPROVAL:
                    continue
                raise
            return stored
        return None


_NO_APPROVAL = frozenset(
    {
        Reason.ACT_CLOSED,
        Reason.APPROVAL_MISSING,
        Reason.APPROVAL_BY_REQUESTER,
        Reason.APPROVAL_MISMATCH,
        Reason.APPROVAL_EXPIRED,
    }
)


async def note(work: ActWork, admission: Admission) -> None:
    """Notes an admitted bundle within a transaction.

    Raises:
        PlaceTakenError: another bundle has its place.
    """
    request_id = None if admission.request is None else admission.request.asked.request_id
    digest, number = admission.bundle.digest, admission.number
    if number is not None and not await work.accept_bundle(
        number, digest, admission.reach, request_id
    ):
        raise PlaceTakenError


def _compare(newest: AcceptedBundle | None, fresh: Bundle) -> tuple[tuple[Violation, ...], bytes]:
    reach = reach_of(fresh)
    kept = encode_reach(reach)
    if newest is None:
        return (), kept
    try:
        return widened(decode_reach(newest.reach), reach), kept
    except ReachFormatError:
        return (Violation("bundle", "what was accepted last can't be read"),), kept
