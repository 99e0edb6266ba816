"""Keys, custody, erasure: built where the configuration has the custodians' logins.

Guarantees: a process without them answers every such call with CUSTODY_UNAVAILABLE, and
has no right in the database or in Transit that only custodians need.
"""

from collections.abc import Sequence
from typing import Any

from vault.app.custody_acts import open_acts
from vault.app.house import House
from vault.app.keys import open_keys
from vault.app.parts import custody_transit_settings
from vault.crypto.transit_admin import TransitAdmin
from vault.errors import Reason, VaultError
from vault.rpc.boundary import Method, StreamMethod
from vault.rpc.subject_service import SubjectService
from vault.rpc.unavailable import unavailable_methods
from vault.service.erase import Eraser
from vault.service.references import SubjectReferences
from vault.telemetry.trace import trip_traceparent

Methods = Sequence[Method[Any] | StreamMethod[Any]]


async def open_custody(house: House) -> Methods:
    """The RPCs of KeyService and SubjectService; what works behind them is begun, and put on the
    stack.

    Raises:
        VaultError: the database or Transit does not answer, or refuses the custodians' login.
    """
    if house.config.database.custodian_url_file is None:
        return unavailable_methods()
    # Custody's own login; the service's can't turn keys.
    admin = TransitAdmin(
        custody_transit_settings(house.config), clock=house.clock, traceparent=trip_traceparent
    )
    house.stack.push_async_callback(admin.close)
    await admin.open(house.holder.current.tenants)
    keys = await open_keys(house, admin)
    acts = await open_acts(house, admin)
    return [*keys, *acts, *SubjectService(_eraser(house)).methods()]


def _eraser(house: House) -> Eraser:
    if house.ledger is None or house.ledger.custody is None:
        raise VaultError(Reason.CUSTODY_UNAVAILABLE, "custody without a ledger of erasures")
    custody = house.ledger.custody
    eraser = Eraser(
        store=custody.store,
        backups=custody.backups,
        ledger=house.ledger.ledger,
        mender=custody.replayer,
        references=SubjectReferences(index_keys=house.index_keys, subjects=house.stages.subjects),
        tokens=house.stages.loads,
        recorder=house.recorder,
        forget=house.keyring.drop,
        max_age_seconds=house.config.cache.max_age_seconds,
        clock=house.clock,
    )
    house.stack.push_async_callback(eraser.close)
    return eraser
