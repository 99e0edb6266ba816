"""One PostgreSQL and one OpenBao for a whole test session, and a database per test.

Real servers, started on first use (about 2.5 s) in a folder that goes with the session.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from vault.embedded import EmbeddedInstance
from vault.embedded.postgres import DATABASE, LOGINS

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedInstance]:
    """The session's servers. Whoever seals, stops or kills one puts it back."""
    with EmbeddedInstance(tmp_path_factory.mktemp("embedded") / "state") as started:
        yield started


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    name: str
    owner: str
    service: str
    audit_reader: str
    sequencer: str
    custodian: str


@contextlib.contextmanager
def fresh_database(
    instance: EmbeddedInstance, *, template: str = DATABASE
) -> Iterator[DatabaseUrls]:
    """A copy of `template` (by default the untouched `pdvault`), removed afterwards.

    Migrate a database of your own once, close every connection to it, and give it as the template.
    """
    name = f"test_{next(_numbers)}"
    postgres = instance.postgres
    postgres.create_database(name, template=template)
    try:
        yield DatabaseUrls(
            name,
            *(postgres.url(login, name) for login in LOGINS),
        )
    finally:
        postgres.drop_database(name)
