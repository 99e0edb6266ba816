"""GetBundle and ReloadBundle: which rules decide, and putting new ones in force.

The steps of ReloadBundle carry the numbers of docs/request-path.md.
"""

import asyncio

from vault.errors import Reason, VaultError
from vault.policy.bundle import Act, Bundle
from vault.policy.faults import BundleError
from vault.policy.holder import BundleHolder
from vault.service.call import Call
from vault.service.recorder import Recorder
from vault.telemetry import names


class BundleKeeper:
    """The two procedures. The bundle is read from disk; no call can bring one."""

    def __init__(self, *, holder: BundleHolder, recorder: Recorder) -> None:
        self._holder = holder
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
            VaultError: the caller may not, the entry can't be written, or BUNDLE_INVALID with a
                violation for every fault; then the old bundle stays in force.
        """
        # 3. Decide.
        self._decide(call, Act.RELOAD_BUNDLE)

        # 4. Read the folder and check all of it.
        try:
            fresh = await asyncio.to_thread(self._holder.read)
        except BundleError as error:
            raise VaultError(
                Reason.BUNDLE_INVALID,
                f"the bundle has {len(error.faults)} faults; the old one stays in force",
                violations=error.faults,
            ) from error

        # 5. Make the entry durable. First, as a bundle must not begin to decide unrecorded.
        call.trace.mark(names.STAGE_AUDIT)
        await self._recorder.record(call.account, call.trace)

        # 6. Put the new bundle in force.
        return self._holder.put(fresh)

    def _decide(self, call: Call, act: Act) -> None:
        call.trace.mark(names.STAGE_POLICY)
        decision = call.bundle.decide_act(call.principal, act)
        if not decision.is_allowed:
            raise VaultError(decision.reason, "the caller may not")
