"""Status and rotation of keys: the procedures, this process's worker, the schedule.

What moves the rows of each kind of key stands in `_movers`.
"""

import asyncio
import contextlib
import datetime as dt
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vault.app.checks import UnsafeError
from vault.app.house import House
from vault.app.parts import custody_transit_settings
from vault.app.upkeep import cancelled
from vault.config_sections import CustodyConfig
from vault.crypto.transit_admin import TransitAdmin
from vault.keys.jobs import JobKind
from vault.keys.periods import KeyKind, Periods, read_own_periods
from vault.rpc.boundary import Method, StreamMethod
from vault.rpc.key_service import KeyService
from vault.service.job_control import JobKeeper
from vault.service.jobs import JobRunner, Mover
from vault.service.key_status import KeyStatusReader
from vault.service.relayer import IndexMover
from vault.service.reseal import SubjectMover
from vault.service.root_keys import RootMover
from vault.service.rotate import Rotator, SigningRotation
from vault.service.schedule import Schedule
from vault.service.signing_key import SigningKey
from vault.service.verify_roots import RootVerifier
from vault.store.backups import BackupStore
from vault.store.database import Database
from vault.store.jobs import JobStore, ScheduleLock
from vault.store.keys import KeyStore
from vault.store.relayer import LayerStore
from vault.store.reseal import ResealStore
from vault.telemetry import key_names
from vault.telemetry.metrics import Metrics
from vault.telemetry.trips import TripNotes

_CONNECTIONS = 5
"""The worker, the schedule's lock, a verification, and calls."""
_MOST_ROWS = 100
"""Of a batch: its commit keeps the disk for a few milliseconds."""
_STOP_S = 5.0


async def open_keys(house: House, admin: TransitAdmin) -> list[Method[Any] | StreamMethod[Any]]:
    """The RPCs of keys and jobs; worker and schedule have begun, and are put on the stack.

    Raises:
        UnsafeError: the file of periods is broken.
        VaultError: the database does not answer, or refuses the custodians' login.
    """
    config = house.config
    url_file = config.database.custodian_url_file
    if url_file is None:
        raise ValueError("keys without the custodians' login")
    periods = await asyncio.to_thread(_periods, config.custody)
    database = await house.open_database(url_file, _CONNECTIONS)
    jobs, rows = JobStore(database), KeyStore(database)
    movers = _movers(house, admin, database)
    rotator = Rotator(
        jobs=jobs,
        movers=movers,
        signing=_signing(house, admin),
        recorder=house.recorder,
        rows_per_second=config.custody.rows_per_second,
    )
    status = KeyStatusReader(
        transit=admin,
        rows=rows,
        jobs=jobs,
        backups=BackupStore(database),
        signing_key=config.audit.signing_key,
        periods=periods,
        recorder=house.recorder,
        clock=house.clock,
    )
    runner = JobRunner(
        jobs=jobs,
        movers=movers,
        trips=TripNotes(tracer=house.telemetry.tracer, metrics=house.telemetry.metrics),
        most_rows=_MOST_ROWS,
    )
    schedule = Schedule(
        lock=ScheduleLock(database),
        status=status,
        jobs=jobs,
        rotator=rotator,
        recorder=house.recorder,
        tracer=house.telemetry.tracer,
        bundle=lambda: house.holder.current,
        clock=house.clock,
        shortest_period=periods.shortest(),
        rotates=config.custody.schedule,
    )
    _watch(house.telemetry.metrics, runner, schedule)
    house.stack.push_async_callback(cancelled, asyncio.create_task(schedule.run()))
    house.stack.push_async_callback(_stop, runner, asyncio.create_task(runner.run()))
    return KeyService(
        status=status,
        rotator=rotator,
        jobs=JobKeeper(jobs=jobs, recorder=house.recorder),
        verifier=RootVerifier(rows=rows, recorder=house.recorder),
    ).methods()


def _movers(house: House, admin: TransitAdmin, database: Database) -> Mapping[JobKind, Mover]:
    config = house.config
    limits = config.limits
    longest_call = limits.default_deadline_seconds + config.database.statement_timeout_seconds
    return {
        JobKind.ROOT: RootMover(
            transit=admin,
            rows=KeyStore(database),
            # From a wrapped key to its commit: Transit's answer, a connection, three statements.
            settle_seconds=custody_transit_settings(config).call_seconds
            + config.database.connect_timeout_seconds
            + 3 * config.database.statement_timeout_seconds,
        ),
        # What moves values and digests opens keys, with the service's own login.
        JobKind.INDEX: IndexMover(
            rows=LayerStore(database),
            transit=house.transit,
            known_seconds=config.cache.max_age_seconds + longest_call,
        ),
        JobKind.SUBJECT: SubjectMover(
            rows=ResealStore(database),
            transit=house.transit,
            index_keys=house.index_keys,
            grace_seconds=10 * limits.default_deadline_seconds
            + config.database.statement_timeout_seconds,
        ),
    }


def _signing(house: House, admin: TransitAdmin) -> SigningRotation:
    return SigningKey(house.config.audit.signing_key, admin=admin, signer=house.log.signer)


def _periods(config: CustodyConfig) -> Periods:
    common = {
        KeyKind.ROOT: dt.timedelta(days=config.root_period_days),
        KeyKind.INDEX: dt.timedelta(days=config.index_period_days),
        KeyKind.SIGNING: dt.timedelta(days=config.signing_period_days),
        KeyKind.SUBJECT: dt.timedelta(days=config.subject_period_days),
    }
    if config.periods_file is None:
        return Periods(common)
    return Periods(common, _own_periods(config.periods_file))


def _own_periods(path: Path) -> dict[str, dict[KeyKind, dt.timedelta]]:
    try:
        return read_own_periods(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UnsafeError(["custody.periods_file: can't be read"]) from error
    except ValueError as error:  # also what is no UTF-8 and no TOML
        raise UnsafeError([f"custody.periods_file: {error}"]) from error


def _watch(metrics: Metrics, runner: JobRunner, schedule: Schedule) -> None:
    metrics.watch(key_names.KEY_JOB_ROWS, runner.moved.copy)
    metrics.watch(key_names.KEY_JOB_LEFT, schedule.left.copy)
    metrics.watch(key_names.KEY_JOB_RATE, schedule.rates.copy)
    metrics.watch(key_names.KEY_AGE, schedule.ages.copy)
    metrics.watch(key_names.KEY_DUE, schedule.dues.copy)
    metrics.watch(key_names.KEY_USES, schedule.uses.copy)
    metrics.watch(key_names.KEY_ALARM, schedule.alarms.copy)


async def _stop(runner: JobRunner, task: "asyncio.Task[None]") -> None:
    """Lets the worker end its batch and give its part back, so that others go on at once."""
    runner.stop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_STOP_S):
            await asyncio.shield(task)
    await cancelled(task)
