"""The audit log's tree and whoever works on it, built and checked.

Guarantees: a database that does not go on from what was witnessed is refused. Leaves to
`Service` when sequencer and cosigner begin.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from vault.app.checks import check_cosigned, check_not_ended, check_witnessed
from vault.app.parts import cosigner_of, witnesses_of
from vault.audit.alarms import Alarms
from vault.audit.cosigner import Cosigner
from vault.audit.patrol import Patrol
from vault.audit.sequencer import Sequencer
from vault.audit.signer import CheckpointSigner
from vault.audit.witnessed import WitnessFile
from vault.clock import Clock
from vault.config import Config
from vault.config_files import read_secret
from vault.crypto.transit import Transit
from vault.errors import Reason, VaultError
from vault.service.tree import TreeHashes
from vault.store.cosignatures import CosignatureStore
from vault.store.database import Database
from vault.store.proofs import ProofReader
from vault.store.successions import SuccessionStore
from vault.store.tree import TreeReader, TreeWriter


@dataclass(frozen=True, slots=True)
class LogParts:
    """What grows, watches and proves the tree."""

    alarms: Alarms
    signer: CheckpointSigner
    sequencer: Sequencer
    cosigner: Cosigner | None
    proofs: ProofReader
    hashes: TreeHashes


async def open_log(
    config: Config,
    *,
    stack: contextlib.AsyncExitStack,
    open_database: Callable[[Path, int], Awaitable[Database]],
    readers: Database,
    transit: Transit,
    clock: Clock,
) -> LogParts:
    """Builds the parts; what has to be closed goes onto the stack.

    Raises:
        UnsafeError: the database is older than, or differs from, what was witnessed.
        VaultError: the database or Transit does not answer, or the signing key is unfit.
    """
    alarms = Alarms()
    tree = TreeReader(readers)
    # Who signs has to keep a key's succession, and so has who rotates it.
    growers = (
        config.database.sequencer_url_file
        if config.audit.sequencer
        else config.database.custodian_url_file
    )
    signer = CheckpointSigner(
        origin=config.audit.origin,
        key=config.audit.signing_key,
        keys=transit,
        chain=SuccessionStore(
            readers, None if growers is None else await open_database(growers, 1)
        ),
        clock=clock,
    )
    await signer.open()
    witness = WitnessFile(config.audit.witness_file, signer=signer)
    await check_not_ended(readers, config.audit.origin)
    await check_witnessed(witness, tree)

    async def connect() -> TreeWriter:
        return await _tree_writer(config)

    sequencer = Sequencer(
        connect=connect,
        patrol=Patrol(
            stored=tree,
            signer=signer,
            alarms=alarms,
            leaves_per_second=config.audit.patrol_leaves_per_second,
        ),
        signer=signer,
        witness=witness,
        alarms=alarms,
        clock=clock,
        checkpoint_seconds=config.audit.checkpoint_seconds,
    )
    stack.push_async_callback(sequencer.stop)
    proofs = ProofReader(readers, quorum=config.audit.witness_quorum)
    hashes = TreeHashes(proofs)
    cosigner = None
    witnesses = await witnesses_of(config, clock)
    if witnesses:
        url_file = config.database.sequencer_url_file if config.audit.sequencer else None
        cosigner = cosigner_of(
            config,
            witnesses,
            tree=tree,
            hashes=hashes,
            keep=None
            if url_file is None
            else CosignatureStore(await open_database(url_file, 1)).add,
            signer=signer,
            is_leader=lambda: sequencer.is_leader,
            alarms=alarms,
            clock=clock,
        )
        await check_cosigned(cosigner)
    return LogParts(alarms, signer, sequencer, cosigner, proofs, hashes)


async def _tree_writer(config: Config) -> TreeWriter:
    section = config.database
    if section.sequencer_url_file is None:
        raise VaultError(Reason.DATABASE_UNAVAILABLE, "no URL of the sequencer's role")
    url = await asyncio.to_thread(read_secret, section.sequencer_url_file)
    return await TreeWriter.connect(
        url.strip(),
        connect_timeout=section.connect_timeout_seconds,
        statement_timeout=section.statement_timeout_seconds,
    )
