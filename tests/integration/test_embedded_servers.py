"""The running servers: rights, logs, Transit, seal, restart."""

from collections.abc import Iterator

import asyncpg
import pytest

from tests.support.embedded import fresh_database
from vault.config import load_config
from vault.embedded import EmbeddedError, EmbeddedInstance
from vault.embedded.bao_api import BaoApi
from vault.embedded.postgres import AUDIT_READER, LOGINS, OWNER, SERVICE, SUPERUSER

CANARY = "canary-13800138000"
_WRAP = {"plaintext": "c2VjcmV0", "context": "c3ViamVjdA=="}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedInstance]:
    """Servers of this module's own: their ends would cut the other tests' connections."""
    with EmbeddedInstance(tmp_path_factory.mktemp("servers") / "state") as started:
        # One that was initialised just now unseals itself once more, whoever sealed it.
        started.openbao.restart()
        yield started


def _service(instance: EmbeddedInstance) -> BaoApi:
    api = instance.openbao.api()
    api.log_in(
        instance.openbao.role_id_file.read_text(), instance.openbao.secret_id_file.read_text()
    )
    return api


def _wrap(api: BaoApi, key: str = "pdv-demo-shop") -> str:
    return api.call("POST", f"transit/encrypt/{key}", _WRAP)["data"]["ciphertext"]


def _unwrap(api: BaoApi, wrapped: str) -> str:
    body = {"ciphertext": wrapped, "context": _WRAP["context"]}
    return api.call("POST", "transit/decrypt/pdv-demo-shop", body)["data"]["plaintext"]


async def test_logins_have_no_rights_beyond_their_own(instance):
    connection = await asyncpg.connect(instance.postgres.url(OWNER))
    rows = await connection.fetch(
        "select rolname, rolsuper or rolcreaterole or rolcreatedb or rolreplication"
        " or rolbypassrls as is_mighty from pg_roles where rolname like 'pdvault%' order by 1"
    )
    await connection.close()

    assert [(login, False) for login in sorted(LOGINS)] == [tuple(row) for row in rows]


@pytest.mark.parametrize("login", [SERVICE, AUDIT_READER])
async def test_only_the_owner_makes_tables(instance, login):
    connection = await asyncpg.connect(instance.postgres.url(login))

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("create table mine (id int)")

    await connection.close()


async def test_a_wrong_password_is_refused(instance):
    url = instance.postgres.url(SERVICE).replace(instance.postgres.password(SERVICE), "wrong")

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)


async def test_nothing_of_a_statement_reaches_the_server_log(instance):
    with fresh_database(instance) as database:
        connection = await asyncpg.connect(database.owner)
        await connection.execute("create table people (name text primary key)")
        await connection.execute("insert into people values ($1)", CANARY)
        for statement in (
            f"insert into people values ('{CANARY}')",  # noqa: S608  a fixed text
            f"select '{CANARY}'::uuid",
            f"{CANARY} is no SQL",
            f"do $$ begin raise warning '{CANARY}'; end $$",
        ):
            try:
                await connection.execute(statement)
            except asyncpg.PostgresError:
                continue
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("insert into people values ($1)", CANARY)
        await connection.close()

    assert CANARY not in (instance.postgres.folder / "server.log").read_text()


async def test_checksums_and_durability_are_on(instance):
    connection = await asyncpg.connect(instance.postgres.url(SUPERUSER, "postgres"))
    names = ("data_checksums", "fsync", "synchronous_commit", "full_page_writes")
    values = [await connection.fetchval("select current_setting($1)", name) for name in names]
    await connection.close()

    assert values == ["on"] * 4


async def test_databases_are_cloned_with_their_rights(instance):
    with fresh_database(instance) as template:
        connection = await asyncpg.connect(template.owner)
        await connection.execute(f"create table t (id int); grant select on t to {SERVICE}")
        await connection.close()
        with fresh_database(instance, template=template.name) as clone:
            connection = await asyncpg.connect(clone.service)
            assert await connection.fetch("select id from t") == []
            await connection.close()


async def test_postgres_comes_back_after_each_kind_of_end(instance):
    postgres = instance.postgres
    port = postgres.port
    with fresh_database(instance) as database:
        connection = await asyncpg.connect(database.owner)
        await connection.execute("create table t (id int)")
        for number, end in enumerate(("fast", "immediate", "kill")):
            await connection.execute("insert into t values ($1)", number)
            if end == "kill":
                postgres.kill9()
                assert instance.dead_servers() == ("PostgreSQL",)
                postgres.start()
            else:
                postgres.restart(immediate=end == "immediate")
            connection.terminate()
            connection = await asyncpg.connect(database.owner)
        assert [r["id"] for r in await connection.fetch("select id from t order by 1")] == [0, 1, 2]
        await connection.close()

    assert port == postgres.port
    assert instance.dead_servers() == ()


def test_the_service_wraps_and_unwraps_bound_to_the_context(instance):
    api = _service(instance)
    wrapped = _wrap(api)

    assert _WRAP["plaintext"] == _unwrap(api, wrapped)
    with pytest.raises(EmbeddedError, match="InvalidRequest"):
        api.call(
            "POST", "transit/decrypt/pdv-demo-shop", {"ciphertext": wrapped, "context": "eA=="}
        )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "transit/keys/pdv-new"),
        ("POST", "transit/encrypt/pdv-typo"),
        ("POST", "transit/keys/pdv-demo-shop/rotate"),
        ("DELETE", "transit/keys/pdv-demo-shop"),
        ("POST", "transit/keys/pdv-demo-shop/config"),
        ("GET", "transit/export/encryption-key/pdv-demo-shop"),
        ("PUT", "sys/seal"),
        ("GET", "sys/policies/acl/pdvault-service"),
        ("POST", "auth/token/create"),
    ],
)
def test_the_service_may_do_nothing_else(instance, method, path):
    with pytest.raises(EmbeddedError, match="Forbidden"):
        _service(instance).call(method, path, dict(_WRAP) if method != "GET" else None)


def test_the_service_renews_its_token(instance):
    api = _service(instance)

    assert api.call("GET", "auth/token/lookup-self")["data"]["creation_ttl"] == 3600
    assert 3600 >= api.call("POST", "auth/token/renew-self", {})["auth"]["lease_duration"] > 3500


def test_root_keys_are_derived_and_stay_inside(instance):
    data = _service(instance).call("GET", "transit/keys/pdv-other-shop")["data"]

    assert (*(data["type"], data["derived"], data["exportable"], data["deletion_allowed"]),) == (
        "aes256-gcm96",
        True,
        False,
        False,
    )


def test_seal_and_unseal(instance):
    api = _service(instance)
    wrapped = _wrap(api)

    instance.openbao.seal()
    try:
        assert instance.openbao.is_sealed()
        with pytest.raises(EmbeddedError, match="VaultDown"):
            _unwrap(api, wrapped)
    finally:
        instance.openbao.unseal()

    assert not instance.openbao.is_sealed()
    assert _WRAP["plaintext"] == _unwrap(api, wrapped)


def test_openbao_comes_back_after_each_kind_of_end(instance):
    wrapped = _wrap(_service(instance))
    address = instance.openbao.address

    instance.openbao.restart()
    assert _WRAP["plaintext"] == _unwrap(_service(instance), wrapped)
    instance.openbao.kill9()
    instance.openbao.start()

    assert _WRAP["plaintext"] == _unwrap(_service(instance), wrapped)
    assert address == instance.openbao.address


def test_every_request_is_in_the_audit_file(instance):
    log = instance.openbao.folder / "audit.log"
    before = log.stat().st_size

    _wrap(_service(instance))

    assert b"transit/encrypt/pdv-demo-shop" in log.read_bytes()[before:]
    assert log.stat().st_mode & 0o777 == 0o600


def test_the_configuration_is_one_that_the_service_accepts(instance, tmp_path):
    config = load_config(instance.write_config(policies=tmp_path))

    assert instance.openbao.address == config.transit.address
    assert instance.postgres.url_file(SERVICE) == config.database.url_file
    assert config.server.port == load_config(instance.write_config(policies=tmp_path)).server.port
