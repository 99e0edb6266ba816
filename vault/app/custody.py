"""Keys, custody, erasure: built where the configuration has the custodians' logins.

Guarantees: a process without them answers every such call with CUSTODY_UNAVAILABLE, and
has no right in the database or in Transit that only custodians need.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vault.app.log import LogParts
from vault.app.parts import custody_transit_settings
from vault.app.stages import Stages
from vault.clock import Clock
from vault.config import Config
from vault.crypto.keyring import Keyring
from vault.crypto.transit import Transit
from vault.crypto.transit_admin import TransitAdmin
from vault.errors import Reason, VaultError
from vault.policy.holder import BundleHolder
from vault.rpc.boundary import Method, Send, StreamMethod
from vault.service.call import Call
from vault.service.index_keys import IndexKeys
from vault.service.recorder import Recorder
from vault.store.database import Database
from vault.telemetry import Telemetry
from vault.v1 import keys_pb2, subjects_pb2

KEY_SERVICE = "vault.v1.KeyService"
SUBJECT_SERVICE = "vault.v1.SubjectService"

Methods = Sequence[Method[Any] | StreamMethod[Any]]


@dataclass(frozen=True, slots=True)
class House:
    """What the rest of the service has that custody builds on."""

    config: Config
    stack: contextlib.AsyncExitStack
    open_database: Callable[[Path, int], Awaitable[Database]]
    holder: BundleHolder
    telemetry: Telemetry
    transit: Transit
    keyring: Keyring
    index_keys: IndexKeys
    stages: Stages
    recorder: Recorder
    log: LogParts
    clock: Clock


async def open_custody(house: House) -> Methods:
    """The RPCs of KeyService and SubjectService; what works behind them is begun, and put on the
    stack.

    Raises:
        VaultError: the database or Transit does not answer, or refuses the custodians' login.
    """
    if house.config.database.custodian_url_file is None:
        return _unavailable()
    # Custody's own login; the service's can't turn keys.
    admin = TransitAdmin(custody_transit_settings(house.config), clock=house.clock)
    house.stack.push_async_callback(admin.close)
    await admin.open(house.holder.current.tenants)
    return _unavailable()


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
