"""Retire, trim and destroy, for real: what they need, what they do, and that they happen once."""

import asyncio
import datetime as dt
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.custody import TENANT, CustodyService, custody_service, second_process
from vault.app.parts import transit_settings
from vault.config import load_config
from vault.crypto.binding import key_context
from vault.crypto.transit import Transit, Unopenable, UnwrapItem, Unwrapped
from vault.errors import VaultError
from vault.model import SubjectId

_ROWS = "select subject_id, key_version, wrapped from subject_keys where tenant = $1"


@pytest.fixture(scope="module")
def custody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CustodyService]:
    with custody_service(tmp_path_factory.mktemp("custody")) as service:
        yield service


def _retire(version: int) -> dict[str, Any]:
    return {"retire": {"min_decryption_version": version}}


def _trim(version: int) -> dict[str, Any]:
    return {"trim": {"min_available_version": version}}


def _dump(custody: CustodyService) -> list[UnwrapItem]:
    """What a dump of the database gives to somebody who may call Transit."""
    return [
        UnwrapItem(
            TENANT,
            row["wrapped"],
            key_context(
                tenant=TENANT,
                subject_id=SubjectId(uuid.UUID(str(row["subject_id"]))),
                key_version=row["key_version"],
            ),
        )
        for row in custody.database.fetch(_ROWS, TENANT)
    ]


def _opened(custody: CustodyService, dump: list[UnwrapItem]) -> list[Any]:
    """With the login of the service, which unwraps all day."""

    async def run() -> list[Any]:
        transit = Transit(transit_settings(load_config(custody.folder / "pdvault.toml")))
        await transit.open([TENANT])
        try:
            return await transit.unwrap(dump)
        finally:
            await transit.close()

    return asyncio.run(run())


def test_a_dump_of_before_the_rotation_opens_nothing_once_its_version_is_retired(
    custody: CustodyService, tmp_path: Path
) -> None:
    """Rotate, rewrap, retire, trim; two processes, who both want to be the one that does it."""
    token = custody.tokenize({"phone": "13812345678"})["phone"]
    dump = _dump(custody)
    assert [Unwrapped] == [type(each) for each in _opened(custody, dump)]

    assert 2 == custody.rotate()
    # The database moved on, the dump did not, and still opens.
    assert [item.wrapped for item in dump] != [item.wrapped for item in _dump(custody)]
    assert [Unwrapped] == [type(each) for each in _opened(custody, dump)]

    # A backup inside its window, although no row needs version 1.
    _add_backup(custody)
    retire = custody.approved(_retire(2))
    answer = custody.carry_out(retire)
    assert ("KEY_IN_USE", "FAILED_PRECONDITION") == (answer.reason, answer.code)
    assert "1 backups inside their window need version 1" in answer.text
    assert 1 == custody.root_key().min_decryption_version
    custody.database.execute("delete from backup_roots")
    custody.database.execute("delete from backups")

    with second_process(custody, tmp_path / "second") as second:
        found: list[tuple[str, str]] = []

        def carry_out(process: CustodyService, caller: str) -> None:
            answer = process.carry_out(retire, caller)
            found.append((answer.code, answer.reason))

        with custody.recording() as entries:
            threads = [
                threading.Thread(target=carry_out, args=(process, caller))
                for process in (custody, second)
                for caller in ("custodian-1", "custodian-2", "custodian-3")
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        closed = ("FAILED_PRECONDITION", "ACT_CLOSED")
        assert [closed] * 5 + [("OK", "")] == sorted(found)
        assert 1 == sum(entry.verdict.name == "ALLOWED" for entry in entries)
    assert 2 == custody.root_key().min_decryption_version
    assert [Unopenable] == [type(each) for each in _opened(custody, dump)]
    # Everybody else goes on.
    request = {"purpose": "delivery", "items": [{"token": token}]}
    answer = custody.call("Detokenize", request, caller="shipping")
    assert "13812345678" == answer.read("Detokenize").items[0].value
    assert [Unwrapped] == [type(each) for each in _opened(custody, _dump(custody))]

    # Retired can be taken back by an administrator of Transit; trimmed can't.
    custody.admin(
        lambda admin: admin.raise_min_decryption(admin.root_key(TENANT), 1, may_lower=True)
    )
    assert [Unwrapped] == [type(each) for each in _opened(custody, dump)]
    assert "OK" == custody.carry_out(custody.approved(_retire(2))).code
    trim = custody.approved(_trim(2))
    assert "gone for good" in custody.carry_out(trim).read("CarryOutAct").effect
    assert 2 == custody.root_key().min_available_version
    with pytest.raises(VaultError):
        custody.admin(
            lambda admin: admin.raise_min_decryption(admin.root_key(TENANT), 1, may_lower=True)
        )
    assert [Unopenable] == [type(each) for each in _opened(custody, dump)]


def _add_backup(custody: CustodyService) -> None:
    backup, now = uuid.uuid4(), dt.datetime.now(dt.UTC)
    custody.database.execute(
        "insert into backups (backup_id, kind, state, taken_at, covers_until, keep_until, label)"
        " values ($1, 'declared', 'kept', $2, $2, $3, 'x')",
        backup,
        now,
        now + dt.timedelta(days=30),
    )
    custody.database.execute(
        "insert into backup_roots (backup_id, tenant, root_version, keys) values ($1, $2, 1, 1)",
        backup,
        TENANT,
    )


def test_a_process_that_died_between_the_effect_and_its_note_did_no_harm(
    custody: CustodyService,
) -> None:
    """What it leaves: Transit has done it, the request is still approved."""
    custody.rotate()
    version = custody.root_key().latest
    request = custody.approved(_retire(version))
    custody.admin(lambda admin: admin.raise_min_decryption(admin.root_key(TENANT), version))
    before = custody.root_key()
    assert "OK" == custody.carry_out(request).code
    assert before == custody.root_key()
    assert custody.row(request)["done_at"] is not None
    assert "ACT_CLOSED" == custody.carry_out(request).reason


def test_while_transit_is_away_the_request_stays_approved(
    custody: CustodyService,
) -> None:
    """OpenBao is sealed meanwhile; unsealed, the same request is carried out."""
    custody.rotate()
    version = custody.root_key().latest
    request = custody.approved(_retire(version))
    custody.instance.openbao.seal()
    try:
        answer = custody.carry_out(request)
        assert answer.reason.startswith("KEY_STORE_")
    finally:
        custody.instance.openbao.unseal()
    assert custody.row(request)["done_at"] is None

    def is_done() -> bool:
        return custody.carry_out(request).code == "OK"

    for _ in range(50):
        if is_done():
            break
        custody.database.execute("select pg_sleep(0.2)")
    assert version == custody.root_key().min_decryption_version
    assert custody.row(request)["done_at"] is not None
