"""GetBundle and ReloadBundle: which rules decide, and putting new ones in force.

The steps of ReloadBundle carry the numbers of docs/request-path.md.
"""

from vault.errors import VaultError
from vault.policy.bundle import Act, Bundle
from vault.service.call import Call
from vault.service.policy_guard import PolicyGuard
from vault.service.recorder import Recorder
from vault.telemetry import names


class BundleKeeper:
    """The two procedures. The bundle is read from disk; no call can bring one."""

    def __init__(self, *, guard: PolicyGuard, recorder: Recorder) -> None:
        self._guard = guard
        self._recorder = recorder

    async def get_bundle(self, call: Call) -> Bundle:
        """The bundle in force.

        Raises:
            VaultError: the caller may not ask, or the entry can't be written.
        """
        self._decide(call, Act.GET_BUNDLE)
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)
        return call.bundle

    async def reload_bundle(self, call: Call) -> tuple[Bundle, bool]:
        """Reads the folder again; whether that changed anything.

        Raises:
            VaultError: the caller may not, the entry can't be written; BUNDLE_INVALID with a
                violation for every fault, or APPROVAL_MISSING with one for what it lets happen
                beyond what was accepted. Then the old bundle stays in force.
        """
        # 3. Decide.
        self._decide(call, Act.RELOAD_BUNDLE)

        # 4. Read the folder and check all of it; what lets more happen needs custodians' approval.
        fresh = await self._guard.read()
        admission = await self._guard.weigh(fresh)
        call.account.act = admission.act

        # 5. Make the entry durable. First, as a bundle must not begin to decide unrecorded.
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)

        # 6. Note it as accepted, then put it in force.
        await self._guard.admit(admission, by=call.principal.id)
        return self._guard.put(fresh)

    def _decide(self, call: Call, act: Act) -> None:
        call.trace.mark(names.STAGE_POLICY)
        decision = call.bundle.decide_act(call.principal, act)
        if not decision.is_allowed:
            raise VaultError(decision.reason, "the caller may not")
