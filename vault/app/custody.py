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
from vault.rpc.boundary import Method, Send, StreamMethod
from vault.rpc.subject_service import SUBJECT_SERVICE, SubjectService
from vault.service.call import Call
from vault.service.erase import Eraser
from vault.service.references import SubjectReferences
from vault.telemetry.trace import trip_traceparent
from vault.v1 import keys_pb2, subjects_pb2

KEY_SERVICE = "vault.v1.KeyService"

Methods = Sequence[Method[Any] | StreamMethod[Any]]


async def open_custody(house: House) -> Methods:
    """The RPCs of KeyService and SubjectService; what works behind them is begun, and put on the
    stack.

    Raises:
        VaultError: the database or Transit does not answer, or refuses the custodians' login.
    """
    if house.config.database.custodian_url_file is None:
        return _unavailable()
    # Custody's own login; the service's can't turn keys.
    admin = TransitAdmin(
        custody_transit_settings(house.config), clock=house.clock, traceparent=trip_traceparent
    )
    house.stack.push_async_callback(admin.close)
    await admin.open(house.holder.current.tenants)
    keys = await open_keys(house, admin)
    acts = await open_acts(house, admin)
    return _completed([*keys, *acts, *SubjectService(_eraser(house)).methods()])


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


def _completed(served: Methods) -> Methods:
    """Every method of custody: those that are served, and refusals for the others."""
    rpcs = {method.rpc for method in served}
    return [*served, *(method for method in _unavailable() if method.rpc not in rpcs)]


def _unavailable() -> Methods:
    async def refuse(_call: Call, _request: Any) -> Any:
        raise VaultError(Reason.CUSTODY_UNAVAILABLE, "this process does not serve custodians")

    async def refuse_stream(_call: Call, _request: Any, _send: Send) -> None:
        raise VaultError(Reason.CUSTODY_UNAVAILABLE, "this process does not serve custodians")

    unary = {
        KEY_SERVICE: {
            "GetKeyStatus": keys_pb2.GetKeyStatusRequest,
            "RotateKey": keys_pb2.RotateKeyRequest,
            "ListJobs": keys_pb2.ListJobsRequest,
            "ControlJob": keys_pb2.ControlJobRequest,
            "RequestAct": keys_pb2.RequestActRequest,
            "ListActRequests": keys_pb2.ListActRequestsRequest,
            "ApproveAct": keys_pb2.ApproveActRequest,
            "WithdrawAct": keys_pb2.WithdrawActRequest,
            "CarryOutAct": keys_pb2.CarryOutActRequest,
        },
        SUBJECT_SERVICE: {
            "EraseSubject": subjects_pb2.EraseSubjectRequest,
            "GetErasure": subjects_pb2.GetErasureRequest,
        },
    }
    streams = {
        "WatchJob": keys_pb2.WatchJobRequest,
        "VerifyRootVersions": keys_pb2.VerifyRootVersionsRequest,
    }
    return [
        *(
            Method(service, name, request, refuse)
            for service, requests in unary.items()
            for name, request in requests.items()
        ),
        *(StreamMethod(KEY_SERVICE, n, request, refuse_stream) for n, request in streams.items()),
    ]
