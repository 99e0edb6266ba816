"""The composition root: builds every part of the service, opens and closes it.

Guarantees: nothing listens before the database, Transit and the policy bundle were found fit;
what was opened is closed in reverse order, whatever happens. Nothing else in the
package knows concrete classes of several layers.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path

from vault import __version__
from vault.app.checks import (
    UnsafeError,
    health_checks,
    issuers_of,
    ledger_checks,
    load_rules,
    log_soundness,
)
from vault.app.custody import open_custody
from vault.app.custody_acts import admit_by_itself
from vault.app.house import House
from vault.app.ledger import open_ledger
from vault.app.log import open_log
from vault.app.parts import transit_settings
from vault.app.stages import open_stages
from vault.app.upkeep import (
    cancelled,
    collect_seldom,
    expire,
    forbid_core_dumps,
    sweep,
    today,
    watch,
    words_of,
)
from vault.audit.account import EntryIds
from vault.authn.identify import Identifier
from vault.authn.mtls import PeerCertificates
from vault.clock import Clock, SystemClock
from vault.config import Config
from vault.config_files import read_secret
from vault.crypto.keyring import Keyring
from vault.crypto.transit import Transit
from vault.errors import Reason, VaultError, Violation
from vault.model import TenantId
from vault.policy.bundle import Bundle
from vault.policy.faults import BundleError
from vault.policy.holder import BundleHolder
from vault.rpc.audit_service import AUDIT_SERVICE, AuditService
from vault.rpc.boundary import Boundary
from vault.rpc.convert import Limits
from vault.rpc.health import HealthMonitor
from vault.rpc.key_service import KEY_SERVICE
from vault.rpc.server import GrpcServer, ServerSettings
from vault.rpc.services import POLICY_SERVICE, TOKEN_SERVICE, Services
from vault.rpc.subject_service import SUBJECT_SERVICE
from vault.service.archived import ArchivedEntries
from vault.service.bundles import BundleKeeper
from vault.service.detokenize import Detokenizer
from vault.service.export import Exporter
from vault.service.index_keys import IndexKeys
from vault.service.list_entries import EntryLister
from vault.service.policy_guard import PolicyGuard
from vault.service.prove import Prover
from vault.service.recorder import Recorder
from vault.service.stats import Statistician
from vault.service.tail import Tailer
from vault.service.tokenize import Tokenizer
from vault.store.accepted import AcceptedStore
from vault.store.cases import CaseStore
from vault.store.checks import database_faults
from vault.store.database import Database, PoolSettings
from vault.store.erasures import ErasureReader
from vault.store.log import LogReader, LogStore
from vault.store.values import ValueStore
from vault.telemetry import Telemetry
from vault.telemetry.kinds import NO_WORDS, Vocabulary
from vault.telemetry.logs import Log
from vault.telemetry.loop_lag import LoopLag
from vault.telemetry.trace import trip_traceparent
from vault.telemetry.trips import TripNotes

_log = Log("vault.app")

_HEALTH_S = 1.0
_TRANSPORT_FACTOR = 8
"""The transport cuts a message off at this many times the limit that explains itself."""


async def _admit_nothing(_: Bundle) -> None:
    raise VaultError(Reason.SHUTTING_DOWN, "the service has not started")


class Service:
    """One running service."""

    def __init__(self, config: Config, *, clock: Clock | None = None) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._stack = contextlib.AsyncExitStack()
        # A few: calls under way keep their bundle, and one that was read may not come into force.
        self._issuers_of = functools.lru_cache(8)(issuers_of)
        self.port = 0
        """The port that it listens on, once started."""
        self._holder: BundleHolder | None = None
        self._admit: Callable[[Bundle], Awaitable[None]] = _admit_nothing
        self._telemetry: Telemetry | None = None
        self._words_of = functools.lru_cache(8)(words_of)  # asked for with each span

    async def start(self) -> None:
        """Opens everything, in order; listens last.

        Raises:
            UnsafeError: a setting of the database is unsafe.
            BundleError: the policy bundle is broken.
            VaultError: the database or Transit does not answer or is unfit.
            OSError: the address or a TLS file can't be used.
        """
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def stop(self) -> None:
        """Drains and closes everything, in reverse order."""
        await self._stack.aclose()

    def words(self) -> Vocabulary:
        """The words of the bundle in force, for the log; none before there is one."""
        return self._words_of(self._holder.current) if self._holder is not None else NO_WORDS

    async def reload(self) -> tuple[Violation, ...]:
        """Reads the policy bundle again (SIGHUP). One that is broken, or lets more happen without
        custodians' approval, is logged and left out.

        Returns:
            The faults of a bundle that was refused; none when what the folder holds is in force.
        """
        if self._holder is None or self._telemetry is None:
            return ()
        try:
            fresh = await asyncio.to_thread(self._holder.read)
            await self._admit(fresh)
        except (BundleError, VaultError) as error:
            faults = error.faults if isinstance(error, BundleError) else error.violations
            faults = faults or (Violation("bundle", str(error)),)
            self._telemetry.metrics.count_reload("refused")
            for fault in faults:
                _log.error("bundle.refused", file=f"{fault.field}: {fault.text}")
            return faults
        bundle, changed = self._holder.put(fresh)
        self._telemetry.metrics.count_reload("changed" if changed else "unchanged")
        _log.info("bundle.loaded", bundle=bundle.digest.hex())
        return ()

    async def _check_accepted(self, bundle: Bundle) -> None:
        try:
            await self._admit(bundle)
        except VaultError as error:
            if error.reason is not Reason.APPROVAL_MISSING:
                raise
            faults = [f"{error.text}:", *(f"  {v.field}: {v.text}" for v in error.violations)]
            raise UnsafeError(faults) from error

    async def _start(self) -> None:
        config, clock = self._config, self._clock
        forbid_core_dumps()
        collect_seldom()

        # 1. The rules.
        holder = await asyncio.to_thread(
            BundleHolder, config.policy.directory, clock=clock, load=load_rules
        )
        self._holder = holder

        for purpose in holder.current.overdue(today(clock)):
            _log.warning("purpose.overdue", purpose=purpose)

        # 2. Telemetry.
        telemetry = Telemetry(
            version=__version__,
            words=lambda: self._words_of(holder.current),
            otlp_endpoint=config.telemetry.otlp_endpoint,
            otlp_ca_file=config.telemetry.otlp_ca_file,
            span_queue=config.telemetry.span_queue,
            span_file=config.telemetry.span_file,
        )
        self._telemetry = telemetry
        self._stack.push_async_callback(asyncio.to_thread, telemetry.close)
        trips = TripNotes(tracer=telemetry.tracer, metrics=telemetry.metrics)

        # 3. The database: reachable, at this release, and with no more rights than it needs.
        # Of this pool every call takes connections, and nothing stays in a session.
        database = await self._database(
            config.database.url_file, config.database.pool_max, keeps_session=True
        )
        readers = await self._database(
            config.database.audit_reader_url_file,
            config.database.audit_reader_pool_max,
            custom_plans=True,
        )
        faults = await database_faults(database)
        if faults:
            raise UnsafeError(faults)
        values, log = ValueStore(database), LogStore(database)

        # 4. Transit, and the keys that it opened.
        cache = config.cache
        keyring = Keyring(
            max_entries=cache.max_entries,
            max_age_seconds=cache.max_age_seconds,
            max_uses=cache.max_uses,
            clock=clock,
        )
        forget: list[Callable[[], None]] = [keyring.clear]

        def forget_keys() -> None:
            for clear in forget:
                clear()

        transit = Transit(
            transit_settings(config), clock=clock, on_lost=forget_keys, traceparent=trip_traceparent
        )
        await transit.open(holder.current.tenants)
        self._stack.push_async_callback(transit.close)
        index_keys = IndexKeys(
            rows=values, transit=transit, clock=clock, max_age_seconds=cache.max_age_seconds
        )
        forget.append(index_keys.clear)

        # The ledger of erasures, before anything is asked of keys: is the database as new as it?
        ledger = await open_ledger(
            config,
            stack=self._stack,
            database=database,
            open_database=self._database,
            keyring=keyring,
            index_keys=index_keys,
            metrics=telemetry.metrics,
            clock=clock,
        )
        for tenant in holder.current.tenants:
            await index_keys.get(TenantId(tenant))

        # The log's tree: does the database go on from what this process has seen? Stopped after
        # the stages, so that its last checkpoint covers their last entries.
        tree = await open_log(
            config,
            stack=self._stack,
            open_database=self._database,
            readers=readers,
            transit=transit,
            clock=clock,
        )
        alarms, signer, sequencer, cosigner = (
            tree.alarms,
            tree.signer,
            tree.sequencer,
            tree.cosigner,
        )
        proofs, hashes = tree.proofs, tree.hashes

        # 5. The stages: every round trip is shared.
        stages = open_stages(
            config,
            values=values,
            cases=CaseStore(database),
            index_keys=index_keys,
            log=log,
            transit=transit,
            keyring=keyring,
            trips=trips,
            metrics=telemetry.metrics,
        )
        for stage in stages.all:
            self._stack.push_async_callback(stage.close)

        # 6. The procedures.
        limits = config.limits
        ids = EntryIds(clock)
        recorder = Recorder(entries=stages.entries, writes=stages.writes, ids=ids)
        guard = PolicyGuard(holder=holder, accepted=AcceptedStore(database))
        services = Services(
            tokenizer=Tokenizer(
                environment=config.server.environment,
                index_keys=index_keys,
                subjects=stages.subjects,
                cases=stages.cases,
                keys=stages.keys,
                uses=stages.uses,
                recorder=recorder,
            ),
            detokenizer=Detokenizer(
                rows=stages.loads,
                cases=stages.cases,
                keys=stages.keys,
                erased=ErasureReader(database),
                recorder=recorder,
                clock=clock,
            ),
            keeper=BundleKeeper(guard=guard, recorder=recorder),
            holder=holder,
            limits=Limits(
                request_bytes=limits.request_bytes,
                items=limits.items,
                subjects=limits.subjects,
                fields_per_subject=limits.fields_per_subject,
            ),
        )

        archive = config.audit.archive_directory
        lister = EntryLister(
            log=LogReader(readers),
            index_keys=index_keys,
            subjects=stages.subjects,
            cases=stages.cases,
            recorder=recorder,
            archive=None if archive is None else ArchivedEntries(archive, proofs),
        )
        auditing = AuditService(
            lister=lister,
            tailer=Tailer(log=proofs, lister=lister, recorder=recorder),
            statistician=Statistician(log=proofs, lister=lister, recorder=recorder),
            prover=Prover(log=proofs, hashes=hashes, recorder=recorder),
            exporter=Exporter(log=proofs, hashes=hashes, recorder=recorder, archive=archive),
            verifier_key=lambda row: str(signer.key_of(row)),
        )

        custody = await open_custody(
            House(
                config=config,
                stack=self._stack,
                open_database=self._database,
                holder=holder,
                telemetry=telemetry,
                transit=transit,
                keyring=keyring,
                index_keys=index_keys,
                stages=stages,
                recorder=recorder,
                log=tree,
                ledger=ledger,
                guard=guard,
                clock=clock,
            )
        )

        # The bundle lets no more happen than what was accepted, or custodians approved it.
        self._admit = functools.partial(
            admit_by_itself, guard, recorder=recorder, telemetry=telemetry
        )
        await self._check_accepted(holder.current)

        # 7. Health and housekeeping.
        health = HealthMonitor(
            services=(TOKEN_SERVICE, AUDIT_SERVICE, POLICY_SERVICE, KEY_SERVICE, SUBJECT_SERVICE),
            checks=health_checks(database, transit, log, ids) | ledger_checks(ledger),
            own_checks={AUDIT_SERVICE: {"log": log_soundness(alarms)}},
            interval_s=_HEALTH_S,
        )
        lag = LoopLag()
        watch(
            telemetry.metrics,
            keyring=keyring,
            transit=transit,
            lag=lag,
            certificate=config.server.tls_certificate,
            clock=clock,
            sequencer=sequencer,
            cosigner=cosigner,
            alarms=alarms,
            queues=lambda: {(stage.name,): stage.queued for stage in stages.all},
        )
        for work in (lag.run(), expire(keyring), sweep(log)):
            task = asyncio.create_task(work)
            self._stack.push_async_callback(cancelled, task)

        # 8. Listen.
        boundary = Boundary(
            identifier=Identifier(
                certificates=PeerCertificates(trust_domain=config.server.trust_domain, clock=clock),
                clock=clock,
            ),
            bundles=holder,
            issuers=self._issuers_of,
            recorder=recorder,
            tracer=telemetry.tracer,
            metrics=telemetry.metrics,
            clock=clock,
            max_request_bytes=limits.request_bytes,
            max_in_flight=limits.in_flight_calls,
            default_deadline_s=limits.default_deadline_seconds,
            gate=None if ledger is None else ledger.gate.require,
        )
        server = GrpcServer(
            ServerSettings(
                listen_address=config.server.listen_address,
                port=config.server.port,
                certificate=config.server.tls_certificate,
                key=config.server.tls_key,
                client_ca=config.server.client_ca,
                reflection=config.server.reflection,
                max_message_bytes=_TRANSPORT_FACTOR * limits.request_bytes,
                shares_port=config.server.workers > 1,
            ),
            boundary=boundary,
            methods=[*services.methods(), *auditing.methods(), *custody],
            health_servicer=health.servicer,
        )
        await health.start()
        if config.audit.sequencer:
            sequencer.start()
        if cosigner is not None:
            self._stack.push_async_callback(cancelled, asyncio.create_task(cosigner.run()))
        self.port = await server.start()
        self._stack.push_async_callback(server.stop, config.server.drain_seconds)
        self._stack.push_async_callback(health.stop)
        _log.info("service.listening", port=self.port, version=__version__)

    async def _database(
        self,
        url_file: Path,
        max_connections: int,
        *,
        custom_plans: bool = False,
        keeps_session: bool = False,
    ) -> Database:
        config = self._config.database
        url = await asyncio.to_thread(read_secret, url_file)
        database = Database(
            PoolSettings(
                url=url.strip(),
                max_connections=max_connections,
                connect_timeout=config.connect_timeout_seconds,
                statement_timeout=config.statement_timeout_seconds,
                custom_plans=custom_plans,
                keeps_session=keeps_session,
            )
        )
        await database.open()
        self._stack.push_async_callback(database.close)
        return database
