"""Servers of this folder's own, to be broken, and a service on them for each test."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from tests.support.embedded import fresh_database
from tests.support.faults import StartWorld, World, world_on
from vault.embedded import EmbeddedInstance
from vault.store.migrate import migrate


@pytest.fixture(scope="session")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedInstance]:
    """PostgreSQL and OpenBao. Whoever breaks one mends it."""
    with EmbeddedInstance(tmp_path_factory.mktemp("breakable") / "state") as started:
        # An OpenBao that was initialised just now unseals itself once more after five seconds,
        # whoever sealed it; one that was started again does not.
        started.openbao.restart()
        yield started


@pytest.fixture(scope="session")
def start_world(
    breakable: EmbeddedInstance, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartWorld]:
    """A function that starts a service on a database of its own, for a `with`."""
    with fresh_database(breakable) as template:
        asyncio.run(migrate(template.owner))

        @contextlib.contextmanager
        def start(**settings: object) -> Iterator[World]:
            folder = tmp_path_factory.mktemp("world")
            folder.chmod(0o700)
            with (
                fresh_database(breakable, template=template.name) as urls,
                world_on(breakable, urls, folder, **settings) as world,  # type: ignore[arg-type]
            ):
                yield world

        yield start


@pytest.fixture
def world(start_world: StartWorld) -> Iterator[World]:
    with start_world() as started:
        yield started
