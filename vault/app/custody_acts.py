"""Acts that take two custodians: their parts, put together; and what a bundle needs by itself.

Guarantees: a bundle that comes into force without a call (at start, on SIGHUP) is held to the
same rule as one of ReloadBundle; the request that lets it is used up, with an entry of its own.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from vault.app.house import House
from vault.audit.account import Account
from vault.crypto.transit_admin import TransitAdmin
from vault.model import Authentication, Principal, TenantId
from vault.policy.bundle import Bundle
from vault.rpc.act_service import ActService
from vault.rpc.boundary import Method
from vault.service.act_effects import RootKeyEffects
from vault.service.acts import ActKeeper
from vault.service.approvals import Approvals
from vault.service.policy_guard import Custodians, PolicyGuard
from vault.service.recorder import Recorder
from vault.store.acts import ActStore
from vault.store.backups import BackupStore
from vault.store.root_rows import RootRows
from vault.telemetry import Telemetry

_CONNECTIONS = 4
"""An act holds one from its lock to its commit."""
_RELOAD = "vault.v1.PolicyService/ReloadBundle"
BY_ITSELF = "pdvault"
"""Who carried an act out where no caller did: a start or a signal."""


async def open_acts(house: House, admin: TransitAdmin) -> Sequence[Method[Any]]:
    """The RPCs; from now on the guard knows the custodians' approvals.

    Raises:
        VaultError: the database does not answer, or refuses the custodians' login.
    """
    config = house.config
    url_file = config.database.custodian_url_file
    if url_file is None:
        raise ValueError("acts without the custodians' login")
    database = await house.open_database(url_file, _CONNECTIONS)
    store = ActStore(database)
    approvals = Approvals(signer=admin, key=config.custody.approval_key)
    house.guard.custodians = Custodians(store, approvals)
    effects = RootKeyEffects(keys=admin, rows=RootRows(database), backups=BackupStore(database))
    keeper = ActKeeper(
        store=store,
        approvals=approvals,
        effects=effects,
        guard=house.guard,
        recorder=house.recorder,
        request_seconds=config.custody.request_seconds,
    )
    return ActService(keeper).methods()


async def admit_by_itself(
    guard: PolicyGuard, fresh: Bundle, *, recorder: Recorder, telemetry: Telemetry
) -> None:
    """Lets a bundle come into force that no call asked for.

    Raises:
        VaultError: as `PolicyGuard.weigh` and `admit`; AUDIT_UNAVAILABLE.
    """
    admission = await guard.weigh(fresh)
    if admission.request is not None:
        trace = telemetry.tracer.call(_RELOAD, None)
        account = Account(
            rpc=_RELOAD, call_id=uuid.uuid4(), trace_id=trace.trace_id, span_id=trace.span_id
        )
        # Nobody called; the entry is for those whose custodians approved.
        tenant = TenantId(admission.request.asked.tenant)
        account.principal = Principal("", Authentication.NONE, tenant, ())
        account.bundle_digest = fresh.digest
        account.act = admission.act
        await recorder.record(account, trace)
    await guard.admit(admission, by=BY_ITSELF)
