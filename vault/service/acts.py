"""RequestAct, ListActRequests, ApproveAct, WithdrawAct, CarryOutAct: what takes two custodians.

The steps are those of docs/custody.md. Guarantees: no act without a request that a different
custodian approved, unchanged, in its time, once; the entry of each step is durable before the
step is, and names the request and the digest of what it asks for. Each step is one
transaction, in which nobody else has the request. Leaves to `act_effects` and `policy_guard`:
what the acts do.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from vault.audit.entry import EntryAct
from vault.errors import Reason, VaultError, invalid
from vault.keys.acts import Act, Asked, StoredAct, Widen, encode_act, idempotency_digest
from vault.policy.bundle import Act as PolicyAct
from vault.policy.bundle import Bundle
from vault.service.act_checks import check_intact, check_open, check_requester, needed_to_ask
from vault.service.act_effects import KeyAct, Obstacle, RootKeyEffects, refuse
from vault.service.approvals import Approvals
from vault.service.call import Call
from vault.service.policy_guard import PlaceTakenError, PolicyGuard, note
from vault.service.recorder import Recorder
from vault.store.acts import ActStore, ActWork
from vault.telemetry import names


@dataclass(frozen=True, slots=True)
class ActCommand:
    """A RequestAct request that is well formed."""

    act: Act
    cause: str
    idempotency_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What CarryOutAct answers.

    Attributes:
        obstacles: on a dry run, what stands against it.
        effect: what was, or would be, done.
    """

    stored: StoredAct
    obstacles: tuple[str, ...]
    effect: str


class ActKeeper:
    """The five procedures."""

    def __init__(
        self,
        *,
        store: ActStore,
        approvals: Approvals,
        effects: RootKeyEffects,
        guard: PolicyGuard,
        recorder: Recorder,
        request_seconds: float,
    ) -> None:
        self._store = store
        self._approvals = approvals
        self._effects = effects
        self._guard = guard
        self._recorder = recorder
        self._request_us = int(request_seconds * 1e6)

    async def request_act(self, call: Call, command: ActCommand) -> StoredAct:
        """Asks for an act.

        Raises:
            VaultError: the caller may not; FIELD_INVALID, it makes no sense;
                IDEMPOTENCY_KEY_REUSED; the machinery failed.
        """
        _decide(call, PolicyAct.REQUEST_ACT)
        _decide(call, needed_to_ask(command.act))
        key = idempotency_digest(caller=call.principal.id, key=command.idempotency_key)
        async with self._store.work() as work:
            now_us = await work.now_us()
            asked = Asked(
                request_id=uuid.uuid4(),
                tenant=call.tenant,
                act=encode_act(command.act),
                cause=command.cause,
                requested_by=call.principal.id,
                requested_at_us=now_us,
                expires_at_us=now_us + self._request_us,
            )
            given = await work.claim(key, call.tenant, asked.request_id)
            if given == asked.request_id:
                await self._check(command.act, call)
                await work.add(asked)
                stored = StoredAct(asked, asked.digest, None, False, None, now_us)
            else:
                stored = await self._found(work, given, call)
                if (stored.asked.act, stored.asked.cause) != (asked.act, asked.cause):
                    raise invalid(
                        Reason.IDEMPOTENCY_KEY_REUSED,
                        "idempotency_key",
                        "was used for another request",
                    )
            await self._record(call, stored)
        return stored

    async def list_requests(
        self, call: Call, *, only_open: bool, limit: int
    ) -> Sequence[StoredAct]:
        """The newest requests of the caller's tenant.

        Raises:
            VaultError: the caller may not; the machinery failed.
        """
        _decide(call, PolicyAct.READ_KEYS, PolicyAct.REQUEST_ACT)
        found = await self._store.newest(call.tenant, only_open=only_open, limit=limit)
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
        return found

    async def approve(self, call: Call, request_id: uuid.UUID, digest: bytes) -> StoredAct:
        """Approves exactly the request that has this digest.

        Raises:
            VaultError: the caller may not; ACT_UNKNOWN, ACT_CLOSED, APPROVAL_BY_REQUESTER,
                APPROVAL_MISMATCH, APPROVAL_EXPIRED; the machinery failed.
        """
        _decide(call, PolicyAct.APPROVE_ACT)
        me = call.principal.id
        async with self._store.work() as work:
            stored = await self._found(work, request_id, call)
            act = check_intact(stored)
            if digest != stored.asked.digest:
                raise VaultError(
                    Reason.APPROVAL_MISMATCH, "the digest is not the one of this request"
                )
            if stored.asked.requested_by == me:
                raise VaultError(Reason.APPROVAL_BY_REQUESTER, "whoever asked can't approve")
            check_open(stored)
            check_requester(call.bundle, stored, act)
            if stored.approval is not None:
                if stored.approval.by != me:
                    raise VaultError(Reason.ACT_CLOSED, "somebody else has approved it")
                await self._approvals.check(call.bundle, stored)
            else:
                approval = await self._approvals.make(stored, me)
                if not await work.approve(stored, approval):
                    raise VaultError(Reason.APPROVAL_EXPIRED, "the request's time is over")
                stored = replace(stored, approval=approval)
            await self._record(call, stored)
        return stored

    async def withdraw(self, call: Call, request_id: uuid.UUID) -> StoredAct:
        """Takes a request back, even one that was tampered with.

        Raises:
            VaultError: the caller may not; ACT_UNKNOWN, ACT_CLOSED, APPROVAL_EXPIRED; the machinery
                failed.
        """
        _decide(call, PolicyAct.REQUEST_ACT, PolicyAct.APPROVE_ACT)
        async with self._store.work() as work:
            stored = await self._found(work, request_id, call)
            if stored.asked.requested_by != call.principal.id:
                _decide(call, PolicyAct.APPROVE_ACT)
            check_open(stored)
            await work.withdraw(stored, call.principal.id)
            stored = replace(stored, is_withdrawn=True)
            await self._record(call, stored)
        return stored

    async def carry_out(self, call: Call, request_id: uuid.UUID, *, dry_run: bool) -> CarriedOut:
        """Carries an approved request out, once; on a dry run, tells what would happen.

        Raises:
            VaultError: the caller may not; ACT_UNKNOWN, ACT_CLOSED, APPROVAL_*; KEY_IN_USE,
                KEY_STORE_DENIED, BUNDLE_INVALID: something stands against it; the machinery failed.
        """
        _decide(call, PolicyAct.CARRY_OUT_ACT)
        if dry_run:
            return await self._look(call, request_id)
        fresh: Bundle | None = None
        try:
            async with self._store.work() as work:
                # 1. The request, ours until the end of the transaction, and all of its approval.
                stored = await self._found(work, request_id, call)
                act = await self._approvals.check(call.bundle, stored)
                # 2. What stands against it now.
                if isinstance(act, Widen):
                    fresh = await self._guard.read()
                    refuse(_another_bundle(fresh, act))
                    effect = _widening(act)
                else:
                    refuse(await self._effects.obstacles(act, call.tenant))
                    effect = await self._effects.describe(act, call.tenant)
                # 3. Used. Not yet for good: if the effect fails, so does this.
                if not await work.use(stored, call.principal.id):
                    raise VaultError(Reason.APPROVAL_EXPIRED, "the request's time is over")
                if fresh is not None:
                    await note(work, await self._guard.place(fresh, stored))
                # 4. The entry, before anything is gone.
                await self._record(call, stored)
                # 5. The effect. A process that dies here leaves an approved request whose effect
                # can be had again, and is the same.
                if not isinstance(act, Widen):
                    await self._do(call, act)
        except PlaceTakenError as error:
            raise VaultError(
                Reason.DATABASE_UNAVAILABLE, "another bundle was accepted", retry_after_ms=500
            ) from error
        if fresh is not None:
            self._guard.put(fresh)
        return CarriedOut(replace(stored, done_at_us=stored.now_us), (), effect)

    async def _do(self, call: Call, act: KeyAct) -> None:
        try:
            await self._effects.carry_out(act, call.tenant)
        except VaultError:
            call.account.is_closed = False  # a second entry says that it failed
            raise

    async def _look(self, call: Call, request_id: uuid.UUID) -> CarriedOut:
        """What would happen. Everything that would end the call is an obstacle here."""
        stored = await self._store.find(request_id, call.tenant)
        if stored is None:
            raise _unknown()
        call.account.act = EntryAct(request_id, stored.asked.digest, is_dry_run=True)
        obstacles: list[str] = []
        try:
            await self._approvals.check(call.bundle, stored)
        except VaultError as error:
            if error.reason in _MACHINERY:
                raise
            obstacles.append(error.text)
        act = check_intact(stored)
        if isinstance(act, Widen):
            fresh = await self._guard.read()
            against = _another_bundle(fresh, act)
            wider = [] if against else await self._guard.wider(fresh)
            effect = "; ".join((_widening(act), *(each.text for each in wider)))
        else:
            against = await self._effects.obstacles(act, call.tenant)
            effect = await self._effects.describe(act, call.tenant)
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
        return CarriedOut(stored, (*obstacles, *(each.text for each in against)), effect)

    async def _check(self, act: Act, call: Call) -> None:
        """Refuses to ask for what makes no sense."""
        if not isinstance(act, Widen):
            await self._effects.check(act, call.tenant)
        elif await self._guard.is_newest(act.bundle_digest):
            raise invalid(
                Reason.FIELD_INVALID, "act.widen_policy.bundle_digest", "is accepted already"
            )

    async def _found(self, work: ActWork, request_id: uuid.UUID, call: Call) -> StoredAct:
        """Locks a request; from here on the call's entry names it.

        Raises:
            VaultError: ACT_UNKNOWN.
        """
        stored = await work.lock(request_id, call.tenant)
        if stored is None:
            raise _unknown()
        call.account.act = EntryAct(request_id, stored.asked.digest)
        return stored

    async def _record(self, call: Call, stored: StoredAct) -> None:
        call.account.act = EntryAct(stored.asked.request_id, stored.asked.digest)
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)


_MACHINERY = frozenset(
    reason for reason in Reason if Reason.KEY_STORE_SEALED <= reason <= Reason.INTERNAL
)


def _decide(call: Call, *acts: PolicyAct) -> None:
    """Makes sure that the caller may do one of these.

    Raises:
        VaultError: it may not.
    """
    call.trace.mark(names.STAGE_POLICY)
    decisions = [call.bundle.decide_act(call.principal, act) for act in acts]
    if not any(each.is_allowed for each in decisions):
        raise VaultError(decisions[0].reason, "the caller may not")


def _unknown() -> VaultError:
    return VaultError(Reason.ACT_UNKNOWN, "there is no such request")


def _another_bundle(fresh: Bundle, act: Widen) -> list[Obstacle]:
    if fresh.digest == act.bundle_digest:
        return []
    text = f"the folder holds another bundle, {fresh.digest.hex()}"
    return [Obstacle(Reason.APPROVAL_MISMATCH, text)]


def _widening(act: Widen) -> str:
    return f"the policy bundle {act.bundle_digest.hex()} comes into force"
