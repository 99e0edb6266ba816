"""What the composition root hands to its parts that build on the rest."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from vault.app.ledger import LedgerParts
from vault.app.log import LogParts
from vault.app.stages import Stages
from vault.clock import Clock
from vault.config import Config
from vault.crypto.keyring import Keyring
from vault.crypto.transit import Transit
from vault.policy.holder import BundleHolder
from vault.service.index_keys import IndexKeys
from vault.service.policy_guard import PolicyGuard
from vault.service.recorder import Recorder
from vault.store.database import Database
from vault.telemetry import Telemetry


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
    ledger: LedgerParts | None
    guard: PolicyGuard
    clock: Clock
