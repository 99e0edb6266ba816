"""Every way in which a configuration is refused, and that all faults are named at once."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from tests.support.certificates import CLIENT_AUTH, SERVER_AUTH, ca_pem, certificate_pem, key_pem
from tests.support.frozen_clock import NOW, FrozenClock
from vault import config
from vault.config import SECTIONS, Config, ConfigError, load_config
from vault.settings import keys_of, reference

REPOSITORY = Path(__file__).parents[2]
ALL = "0.0.0.0"  # noqa: S104 - nothing listens here
PASSWORD = "canary-pw-93ab"
LOCAL = f"postgresql://service:{PASSWORD}@127.0.0.1:5432/pdvault"
READER = f"postgresql://reader:{PASSWORD}@127.0.0.1:5432/pdvault"
SEQUENCER = f"postgresql://sequencer:{PASSWORD}@127.0.0.1:5432/pdvault"
FAR = f"postgresql://service:{PASSWORD}@db.example:5432/pdvault"

SETTINGS = {
    "server": {
        "tls_certificate": "server.pem",
        "tls_key": "server.key",
        "client_ca": "ca.pem",
        "trust_domain": "pdvault.example",
        "environment": "demo",
    },
    "database": {
        "url_file": "url",
        "audit_reader_url_file": "reader-url",
        "sequencer_url_file": "sequencer-url",
    },
    "audit": {"origin": "pdvault.example/audit", "witness_file": "checkpoint"},
    "transit": {"address": "https://bao.example:8200", "token_file": "token"},
    "policy": {"directory": "policies"},
}


def server_pem(**overrides):
    return certificate_pem(dns=("localhost",), extended=(SERVER_AUTH,), **overrides)


@pytest.fixture
def folder(tmp_path):
    """A folder with every file that SETTINGS names."""
    (tmp_path / "server.pem").write_bytes(server_pem())
    (tmp_path / "ca.pem").write_bytes(ca_pem())
    (tmp_path / "policies").mkdir()
    secret(tmp_path / "server.key", key_pem())
    secret(tmp_path / "url", LOCAL.encode())
    secret(tmp_path / "reader-url", READER.encode())
    secret(tmp_path / "sequencer-url", SEQUENCER.encode())
    for name in ("token", "role-id", "secret-id"):
        secret(tmp_path / name, b"s.0123456789\n")
    return tmp_path


def secret(path, data):
    path.touch(0o600)
    path.chmod(0o600)
    path.write_bytes(data)


def render(value):
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


def write(folder, text):
    path = folder / "pdvault.toml"
    path.write_text(text, "utf-8")
    return path


def load(folder, **sections):
    """Load SETTINGS with some keys changed; None takes a key away."""
    lines = []
    for name in dict.fromkeys([*SETTINGS, *sections]):
        table = SETTINGS.get(name, {}) | sections.get(name, {})
        lines.append(f"[{name}]")
        lines += [f"{key} = {render(value)}" for key, value in table.items() if value is not None]
    return load_config(write(folder, "\n".join(lines)), clock=FrozenClock())


def faults(folder, **sections):
    with pytest.raises(ConfigError) as caught:
        load(folder, **sections)
    assert PASSWORD not in f"{caught.value} {caught.value.faults}"
    return {fault.field: fault.text for fault in caught.value.faults}


def test_smallest_configuration_and_its_defaults(folder):
    loaded = load(folder)
    assert isinstance(loaded, Config)
    assert loaded.server.listen_address == "127.0.0.1"
    assert loaded.server.reflection is False
    assert loaded.server.tls_key == folder / "server.key"
    assert loaded.cache.max_entries == 100_000
    assert loaded.cache.max_age_seconds == 60
    assert loaded.cache.max_uses == 1_000_000
    assert loaded.cache.grace_seconds == 2
    assert loaded.limits.request_bytes == 2 * 1024 * 1024
    assert (loaded.limits.items, loaded.limits.subjects) == (1000, 500)
    assert loaded.limits.fields_per_subject == 100
    assert loaded.limits.default_deadline_seconds == 10
    assert loaded.telemetry.otlp_endpoint is None


def test_repr_holds_paths_and_no_secret(folder):
    text = repr(load(folder))
    assert "server.key" in text
    assert PASSWORD not in text
    assert "0123456789" not in text


@pytest.mark.parametrize(
    "sections",
    [
        {"server": {"listen_address": ALL, "port": 65535, "drain_seconds": 0}},
        {"server": {"listen_address": "::", "reflection": True}},
        {"transit": {"address": "http://127.0.0.1:8200"}},
        {"transit": {"address": "http://[::1]:8200/"}},
        {"transit": {"ca_file": "ca.pem", "namespace": "shop/eu", "mount": "kms/transit"}},
        {
            "transit": {
                "token_file": None,
                "role_id_file": "role-id",
                "secret_id_file": "secret-id",
            }
        },
        {"telemetry": {"otlp_endpoint": "http://localhost:4317", "span_file": "spans.jsonl"}},
        {"telemetry": {"otlp_endpoint": "https://otel.example:4317", "otlp_ca_file": "ca.pem"}},
        {"cache": {"max_age_seconds": 3600, "grace_seconds": 0.5}},
        {"audit": {"sequencer": False}, "database": {"sequencer_url_file": None}},
        {"audit": {"origin": "log"}},
    ],
)
def test_what_is_permitted(folder, sections):
    load(folder, **sections)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("server", "listen_address", "localhost.example"),
        ("server", "listen_address", ""),
        ("server", "port", 0),
        ("server", "port", 65536),
        ("server", "port", "7443"),
        ("server", "port", True),
        ("server", "port", 7443.0),
        ("server", "trust_domain", "PDVAULT.example"),
        ("server", "trust_domain", "spiffe://pdvault.example"),
        ("server", "environment", "Demo"),
        ("server", "environment", "d"),
        ("server", "environment", "verylongname"),
        ("server", "reflection", "false"),
        ("server", "reflection", 0),
        ("server", "drain_seconds", -1),
        ("server", "tls_certificate", 1),
        ("cache", "grace_seconds", 0),
        ("database", "pool_max", 0),
        ("database", "pool_max", -1),
        ("database", "audit_reader_pool_max", 0),
        ("database", "connect_timeout_seconds", 0),
        ("database", "statement_timeout_seconds", 10),
        ("transit", "address", "http://bao.example:8200"),
        ("transit", "address", "https://"),
        ("transit", "address", "https://user:pw@bao.example"),
        ("transit", "address", "https://bao.example/v1"),
        ("transit", "address", "https://bao.example?x"),
        ("transit", "address", "https://bao.example:99999"),
        ("transit", "address", "bao.example:8200"),
        ("transit", "address", "unix:///run/bao"),
        ("transit", "address", "http://127.0.0.1.evil.example"),
        ("transit", "mount", "/transit"),
        ("transit", "mount", "a/../sys"),
        ("transit", "key_prefix", "../"),
        ("transit", "key_prefix", ""),
        ("transit", "namespace", "a b"),
        ("transit", "read_seconds", 4),
        ("transit", "read_seconds", 0),
        ("transit", "connect_seconds", "2s"),
        ("transit", "max_batch", 301),
        ("transit", "threads", 33),
        ("transit", "probe_seconds", 0),
        ("cache", "max_entries", 0),
        ("cache", "max_age_seconds", 3601),
        ("cache", "max_age_seconds", 0),
        ("cache", "max_uses", -5),
        ("cache", "max_uses", 2**32 + 1),
        ("cache", "grace_seconds", 61),
        ("limits", "request_bytes", 0),
        ("limits", "items", 0),
        ("limits", "items", 10_001),
        ("limits", "subjects", 1001),
        ("limits", "fields_per_subject", 1001),
        ("limits", "in_flight_calls", 0),
        ("limits", "row_queue", 999),
        ("limits", "key_queue", 999),
        ("limits", "audit_queue", 999),
        ("limits", "default_deadline_seconds", 0),
        ("audit", "origin", "with space"),
        ("audit", "archive_directory", "missing"),
        ("audit", "origin", "with+plus"),
        ("audit", "origin", "/absolute"),
        ("audit", "signing_key", "../x"),
        ("audit", "checkpoint_seconds", 0),
        ("audit", "checkpoint_seconds", 1.5),
        ("audit", "witness_file", "nowhere/checkpoint"),
        ("audit", "patrol_leaves_per_second", 0),
        ("audit", "witnesses_file", "nowhere"),
        ("audit", "witnesses_file", "ca.pem"),
        ("audit", "witness_quorum", 1),
        ("audit", "witness_lag_seconds", 0),
        ("telemetry", "otlp_endpoint", "http://otel.example:4317"),
        ("telemetry", "otlp_ca_file", "ca.pem"),
        ("telemetry", "span_queue", 0),
        ("telemetry", "span_file", "nowhere/spans.jsonl"),
        ("telemetry", "log_level", "trace"),
        ("policy", "directory", "nowhere"),
        ("policy", "directory", "url"),
    ],
)
def test_setting_that_is_refused(folder, section, key, value):
    assert list(faults(folder, **{section: {key: value}})) == [f"{section}.{key}"]


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", "[1]", "{a=1}", "1979-05-27", "''", '"a\\u0000"']
)
@pytest.mark.parametrize("key", ["server.drain_seconds", "server.environment", "server.tls_key"])
def test_odd_toml_values(folder, key, value):
    """TOML can write more than a setting takes."""
    found = write(folder, f"{key} = {value}")
    with pytest.raises(ConfigError) as caught:
        load_config(found, clock=FrozenClock())
    assert key in {fault.field for fault in caught.value.faults}


def test_unknown_section_and_key(folder):
    found = faults(folder, server={"tls_cert": "x"}, sever={"port": 1})
    assert found == {"sever": "is not a known section", "server.tls_cert": "is not a known key"}


def test_names_from_the_file_are_fit_for_a_log(folder):
    found = write(folder, '"a\\nb" = 1\n[server]\n"c\\u001bd" = 1\n')
    with pytest.raises(ConfigError) as caught:
        load_config(found)
    assert "\x1b" not in str(caught.value)
    assert "a\nb" not in str(caught.value)


def test_section_that_is_no_table(folder):
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, "server = 1"))
    assert "server" in {fault.field for fault in caught.value.faults}


def test_every_required_key_is_named(folder):
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, "# nothing\n"))
    required = {
        f"{name}.{key.name}"
        for name, section in SECTIONS.items()
        for key in keys_of(section)
        if key.is_required
    }
    assert {fault.field for fault in caught.value.faults} == required
    assert all(f"{name}: is missing" in str(caught.value) for name in required)


def test_all_faults_at_once(folder):
    (folder / "ca.pem").unlink()
    found = faults(
        folder,
        server={"port": 0},
        database={"pool_max": 0},
        transit={"address": "http://bao.example", "secret_id_file": "secret-id"},
        cache={"grace_seconds": 100},
    )
    assert set(found) == {
        "server.port",
        "database.pool_max",
        "transit.address",
        "transit.token_file",
        "cache.grace_seconds",
    }


@pytest.mark.parametrize(
    "text", ["[server", "a = ", "[server]\nport = 1\nport = 2", "[a]\n[a]", "x = [" * 5000]
)
def test_not_toml(folder, text):
    with pytest.raises(ConfigError, match="TOML"):
        load_config(write(folder, text))


def test_configuration_file_itself(folder):
    (folder / "latin").write_bytes(b"# \xe9\n")
    (folder / "empty").touch()
    (folder / "large").write_bytes(b"#" * (1024 * 1024 + 1))
    for name in ("absent", "policies", "latin", "large", "empty"):
        with pytest.raises(ConfigError):
            load_config(folder / name)


# --- Files -------------------------------------------------------------------------------------

SECRETS = {
    "server.tls_key": "server.key",
    "database.url_file": "url",
    "database.audit_reader_url_file": "reader-url",
    "database.sequencer_url_file": "sequencer-url",
    "transit.token_file": "token",
}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o602, 0o610, 0o777])
@pytest.mark.parametrize("name", SECRETS)
def test_secret_that_is_open_to_others(folder, name, mode):
    (folder / SECRETS[name]).chmod(mode)
    found = faults(folder)
    assert list(found) == [name]
    assert "group or others" in found[name]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("server.tls_certificate", "server.pem"),
        ("server.client_ca", "ca.pem"),
        ("policy.directory", "policies"),
    ],
)
def test_what_decides_whom_to_trust_is_not_for_everybody_to_change(folder, name, path):
    (folder / path).chmod(0o777)
    found = faults(folder)
    assert list(found) == [name]
    assert "everybody" in found[name]


@pytest.mark.parametrize("name", ["role_id_file", "secret_id_file"])
def test_approle_files_are_secret(folder, name):
    approle = {"token_file": None, "role_id_file": "role-id", "secret_id_file": "secret-id"}
    (folder / approle[name]).chmod(0o644)
    assert list(faults(folder, transit=approle)) == [f"transit.{name}"]


@pytest.mark.parametrize("name", SECRETS)
def test_secret_that_is_no_regular_file(folder, name):
    path = folder / SECRETS[name]
    path.unlink()
    assert faults(folder)[name] == "no such file"
    os.mkfifo(path, 0o600)  # would block a reader that just opens it
    assert faults(folder)[name] == "is not a regular file"
    path.unlink()
    path.mkdir(0o700)
    assert faults(folder)[name] == "is not a regular file"


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("data", [b"", b" \n", b"a b", b"a\nb", b"\xff\xfe", b"x" * 70_000])
def test_secret_that_is_malformed(folder, name, data):
    secret(folder / SECRETS[name], data)
    assert list(faults(folder)) == [name]


def test_secret_may_be_a_link_to_a_closed_file(folder):
    """Orchestrators mount secrets as links."""
    (folder / "token").rename(folder / "..data")
    (folder / "token").symlink_to("..data")
    load(folder)
    (folder / "..data").chmod(0o644)
    assert list(faults(folder)) == ["transit.token_file"]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (server_pem(not_after=NOW - 1), "expired"),
        (server_pem(not_before=NOW + 1), "not valid yet"),
        (certificate_pem(dns=("localhost",), extended=(CLIENT_AUTH,)), "serverAuth"),
        (b"nothing", "no certificate"),
        (key_pem(), "no certificate"),
    ],
)
def test_server_certificate_that_is_refused(folder, data, word):
    (folder / "server.pem").write_bytes(data)
    found = faults(folder)
    assert list(found) == ["server.tls_certificate"]
    assert word in found["server.tls_certificate"]


def test_chain_is_judged_by_its_first_certificate(folder):
    (folder / "server.pem").write_bytes(server_pem() + ca_pem())
    load(folder)
    (folder / "server.pem").write_bytes(ca_pem(not_after=NOW - 1) + server_pem())
    assert "server.tls_certificate" in faults(folder)


def test_key_of_another_certificate(folder):
    secret(folder / "server.key", key_pem(ec.generate_private_key(ec.SECP256R1())))
    assert faults(folder) == {"server.tls_key": "the key does not belong to the certificate"}


def test_encrypted_key(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    form = BestAvailableEncryption(PASSWORD.encode())
    secret(folder / "server.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, form))
    assert "encrypted" in faults(folder)["server.tls_key"]


@pytest.mark.parametrize(
    "data",
    [
        server_pem(),
        certificate_pem("spiffe://pdvault.example/x", is_ca=False),
        ca_pem() + server_pem(),
        ca_pem(not_after=NOW - 1),
        ca_pem(not_before=NOW + 1),
        b"nothing",
    ],
)
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("server.client_ca", {"server": {"client_ca": "x.pem"}}),
        ("transit.ca_file", {"transit": {"ca_file": "x.pem"}}),
        (
            "telemetry.otlp_ca_file",
            {"telemetry": {"otlp_ca_file": "x.pem", "otlp_endpoint": "https://otel.example"}},
        ),
    ],
)
def test_ca_file_without_a_usable_ca(folder, data, name, settings):
    (folder / "x.pem").write_bytes(data)
    assert list(faults(folder, **settings)) == [name]


@pytest.mark.parametrize(
    "settings",
    [
        {"transit": {"address": "http://127.0.0.1:8200", "ca_file": "ca.pem"}},
        {"telemetry": {"otlp_endpoint": "http://127.0.0.1:4317", "otlp_ca_file": "ca.pem"}},
    ],
)
def test_ca_file_for_plain_http(folder, settings):
    assert "http://" in next(iter(faults(folder, **settings).values()))


@pytest.mark.parametrize(
    "login",
    [
        {"token_file": None},
        {"role_id_file": "role-id"},
        {"role_id_file": "role-id", "secret_id_file": "secret-id"},
        {"token_file": None, "role_id_file": "role-id"},
        {"token_file": None, "secret_id_file": "secret-id"},
    ],
)
def test_transit_login_is_one_of_two(folder, login):
    found = faults(folder, transit=login)
    assert len(found) == 1
    assert "either" in next(iter(found.values()))


@pytest.mark.parametrize(
    "url",
    [
        LOCAL,
        LOCAL.replace("127.0.0.1", "localhost"),
        LOCAL.replace("127.0.0.1", "[::1]"),
        LOCAL.replace("127.0.0.1:5432", "127.0.0.1:5432,localhost:5433"),
        LOCAL.replace("127.0.0.1:5432", "%2Frun%2Fpostgresql"),
        LOCAL.replace("127.0.0.1:5432", "") + "?host=/run/postgresql&port=5433",
        LOCAL.replace("postgresql:", "postgres:") + "?sslmode=disable&application_name=pdvault",
        FAR + "?sslmode=verify-full",
        FAR + "?sslmode=verify-full&sslrootcert=/etc/ca.pem&target_session_attrs=primary",
    ],
)
def test_database_url_that_is_permitted(folder, url):
    secret(folder / "url", url.encode() + b"\n")
    load(folder)


@pytest.mark.parametrize(
    "url",
    [
        FAR,
        FAR + "?sslmode=require",
        FAR + "?sslmode=verify-ca",
        FAR + "?sslmode=prefer",
        FAR + "?sslmode=Verify-Full",
        FAR + "?sslmode=verify-full&sslmode=disable",
        FAR + "?sslmode=disable&sslmode=verify-full",
        FAR + "?ssl%6dode=verify-full&sslmode=disable",
        FAR + "#?sslmode=verify-full",
        LOCAL.replace("127.0.0.1:5432", "127.0.0.1:5432,db.example"),
        LOCAL.replace("127.0.0.1", "127.0.0.1.evil.example"),
        LOCAL.replace("127.0.0.1", ALL),
        LOCAL.replace("127.0.0.1", "10.0.0.1"),
        LOCAL + "?host=db.example",
        LOCAL + "?service=other",
        LOCAL + "?passfile=/etc/passwd",
        LOCAL + "?options=-c%20x",
        LOCAL + "?user=postgres",
        LOCAL.replace("127.0.0.1:5432", "") + "?host=db.example",
        LOCAL.replace("127.0.0.1:5432", ""),
        LOCAL.replace("127.0.0.1", "db.example@127.0.0.1"),  # the driver reads db.example
        LOCAL.replace("127.0.0.1:5432", "db.example%2C127.0.0.1"),
        LOCAL.replace("127.0.0.1:5432", "%2Frun%2Fpostgresql,db.example"),
        LOCAL.replace("127.0.0.1:5432", "") + "?host=/run/postgresql,db.example",
        LOCAL.replace("127.0.0.1:5432", "") + "?host=%252Frun%252Fpostgresql",
        LOCAL.replace("127.0.0.1:5432", "127.0.0.1:5432,"),
        LOCAL.replace("127.0.0.1:5432", "[::1"),
        LOCAL.replace("/pdvault", "/"),
        LOCAL.replace("/pdvault", ""),
        LOCAL.replace(f"service:{PASSWORD}@", ""),
        LOCAL.replace("postgresql:", "mysql:"),
        LOCAL.replace("postgresql://", ""),
        f"host=127.0.0.1,password={PASSWORD}",
    ],
)
def test_database_url_that_is_refused(folder, url):
    secret(folder / "url", url.encode())
    assert list(faults(folder)) == ["database.url_file"]


def test_both_database_roles_are_one(folder):
    secret(folder / "reader-url", LOCAL.encode())
    assert list(faults(folder)) == ["database.audit_reader_url_file"]


@pytest.mark.parametrize("other", [LOCAL, READER])
def test_the_sequencer_has_a_role_of_its_own(folder, other):
    secret(folder / "sequencer-url", other.encode())
    assert list(faults(folder)) == ["database.sequencer_url_file"]


def test_a_sequencer_needs_its_url(folder):
    found = faults(folder, database={"sequencer_url_file": None})
    assert found == {"database.sequencer_url_file": "is missing; audit.sequencer needs it"}


def test_a_secret_in_place_of_a_path_is_not_echoed(folder):
    faults(
        folder,
        database={"url_file": LOCAL},
        transit={"address": PASSWORD, "token_file": PASSWORD, "mount": f"/{PASSWORD}"},
        telemetry={"log_level": PASSWORD},
    )


def test_relative_paths_start_at_the_file(folder, monkeypatch):
    load(folder)
    monkeypatch.chdir(folder)
    loaded = load_config(Path("pdvault.toml"), clock=FrozenClock())
    assert loaded.policy.directory == folder / "policies"
    monkeypatch.chdir("/")
    assert loaded.policy.directory.is_dir()


# --- What is shipped ---------------------------------------------------------------------------


def test_example_fails_for_nothing_but_missing_files():
    with pytest.raises(ConfigError) as caught:
        load_config(REPOSITORY / "deploy/pdvault.example.toml")
    assert {fault.text for fault in caught.value.faults} == {"no such file", "no such directory"}


def test_example_loads_with_its_files(folder):
    example = (REPOSITORY / "deploy/pdvault.example.toml").read_text("utf-8")
    for name in ("tls", "secrets"):
        (folder / name).mkdir()
    for path, data in {
        "tls/server.pem": server_pem(),
        "tls/server.key": key_pem(),
        "tls/clients-ca.pem": ca_pem(),
        "tls/openbao-ca.pem": ca_pem(),
        "tls/collector-ca.pem": ca_pem(),
        "secrets/database-url": LOCAL.encode(),
        "secrets/audit-reader-url": READER.encode(),
        "secrets/sequencer-url": SEQUENCER.encode(),
        "secrets/transit-role-id": b"role",
        "secrets/transit-secret-id": b"id",
    }.items():
        secret(folder / path, data)
    example = example.replace("/var/lib/pdvault/witness/", "")
    load_config(write(folder, example), clock=FrozenClock())


def test_reference_is_current(capsys):
    config.main()
    shipped = (REPOSITORY / "docs/configuration.md").read_text("utf-8")
    assert shipped == capsys.readouterr().out


def test_every_key_is_documented_with_a_range():
    for name, section in SECTIONS.items():
        for key in keys_of(section):
            assert key.setting.text.endswith("."), f"{name}.{key.name}"
            assert key.kind not in {int, float} or key.setting.range, f"{name}.{key.name}"
    assert reference(SECTIONS).count("\n| `") == sum(
        len(list(keys_of(s))) for s in SECTIONS.values()
    )
