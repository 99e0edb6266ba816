"""Parts of the service that take more to build from the configuration than a call."""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence

from vault.audit.alarms import Alarms
from vault.audit.cosigner import Cosigner, Keep
from vault.audit.merkle import build_proof, consistency_plan, plan_nodes
from vault.audit.signer import CheckpointSigner
from vault.audit.witness_client import WitnessAddress, WitnessClient
from vault.clock import Clock
from vault.config import Config
from vault.config_sections import CustodyConfig, TransitConfig
from vault.config_witnesses import WitnessConfig, read_witnesses
from vault.crypto.transit import AppRole, TokenFile, TransitSettings
from vault.service.tree import TreeHashes
from vault.store.tree import TreeReader


def transit_settings(config: Config) -> TransitSettings:
    """The configuration's section on Transit, in the terms of its client: the service's login."""
    return _transit_settings(config, config.transit)


def custody_transit_settings(config: Config) -> TransitSettings:
    """The same Transit, with the custodians' login.

    Raises:
        ValueError: the configuration has none.
    """
    return _transit_settings(config, config.custody)


def _transit_settings(config: Config, login: TransitConfig | CustodyConfig) -> TransitSettings:
    section = config.transit
    auth: AppRole | TokenFile
    if login.token_file is not None:
        auth = TokenFile(login.token_file)
    elif login.role_id_file is not None and login.secret_id_file is not None:
        auth = AppRole(login.role_id_file, login.secret_id_file, section.approle_mount)
    else:
        raise ValueError("transit: neither a token nor an AppRole")
    return TransitSettings(
        address=section.address,
        auth=auth,
        mount=section.mount,
        namespace=section.namespace,
        ca_file=section.ca_file,
        key_prefix=section.key_prefix,
        connect_seconds=section.connect_seconds,
        read_seconds=section.read_seconds,
        max_batch=section.max_batch,
        threads=section.threads,
        probe_seconds=section.probe_seconds,
        grace_seconds=config.cache.grace_seconds,
    )


async def witnesses_of(config: Config, clock: Clock) -> tuple[WitnessConfig, ...]:
    """The witnesses of a configuration that was judged sound.

    Raises:
        FileError: their list can't be read any more.
    """
    path = config.audit.witnesses_file
    if path is None:
        return ()
    now = dt.datetime.fromtimestamp(clock.unix_ns() // 10**9, dt.UTC)
    witnesses, _ = await asyncio.to_thread(read_witnesses, path, now=now)
    return witnesses


def cosigner_of(
    config: Config,
    witnesses: Sequence[WitnessConfig],
    *,
    tree: TreeReader,
    hashes: TreeHashes,
    keep: Keep | None,
    signer: CheckpointSigner,
    is_leader: Callable[[], bool],
    alarms: Alarms,
    clock: Clock,
) -> Cosigner:
    """Those who have checkpoints cosigned."""

    async def prove(first: int, second: int) -> list[bytes]:
        plan = consistency_plan(first, second)
        return build_proof(plan, await hashes.source(plan_nodes(plan), second))

    return Cosigner(
        witnesses=[
            WitnessClient(WitnessAddress(one.url, one.key, one.ca_file)) for one in witnesses
        ],
        quorum=config.audit.witness_quorum,
        lag_seconds=config.audit.witness_lag_seconds,
        log=tree,
        prove=prove,
        keep=keep,
        signer=signer,
        is_leader=is_leader,
        alarms=alarms,
        clock=clock,
    )
