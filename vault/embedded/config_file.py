"""What an embedded instance tells the service: settings, and the same as `pdvault.toml`.

Pure but for reading the last port. Paths in the file are relative to it, so a state
folder can be moved. `vault.config` reads it like any other configuration.
"""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from vault.embedded.ports import HOST

ENVIRONMENT = "demo"
ORIGIN = "pdvault.example/audit"
"""Name of the embedded instance's log."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Addresses and files; the files hold the secrets, this holds none.

    Attributes:
        state: the state folder; all files below it.
        owner_url_file: the login for migrations, which the service must not have.
        service_url_file, audit_reader_url_file, sequencer_url_file: the logins of the service.
        custodian_url_file: the login that turns keys; the AppRole beside it is its own.
        ledger_file: the ledger of erasures, outside the database.
        transit_key_prefix: a root key's name is this and the tenant.
        signing_key: name of the Transit key that signs the log.
        server_certificate_folder: tls.crt, tls.key and ca.crt of the service.
        clients_folder: a folder per client with tls.crt, tls.key and ca.crt.
        authority_file: signs the service, OpenBao and all clients.
        witness_file: the newest checkpoint, outside the database.
    """

    state: Path
    owner_url_file: Path
    service_url_file: Path
    audit_reader_url_file: Path
    sequencer_url_file: Path
    custodian_url_file: Path
    transit_address: str
    transit_mount: str
    transit_key_prefix: str
    signing_key: str
    transit_role_id_file: Path
    transit_secret_id_file: Path
    custodian_role_id_file: Path
    custodian_secret_id_file: Path
    server_certificate_folder: Path
    clients_folder: Path
    authority_file: Path
    trust_domain: str
    witness_file: Path
    ledger_file: Path


def config_text(settings: Settings, *, policies: Path, port: int) -> str:
    """The TOML text for `settings`."""
    server = settings.server_certificate_folder
    sections: dict[str, dict[str, object]] = {
        "server": {
            "listen_address": HOST,
            "port": port,
            "tls_certificate": server / "tls.crt",
            "tls_key": server / "tls.key",
            "client_ca": settings.authority_file,
            "trust_domain": settings.trust_domain,
            "environment": ENVIRONMENT,
            "reflection": True,
        },
        "database": {
            "url_file": settings.service_url_file,
            "audit_reader_url_file": settings.audit_reader_url_file,
            "sequencer_url_file": settings.sequencer_url_file,
            "custodian_url_file": settings.custodian_url_file,
        },
        "transit": {
            "address": settings.transit_address,
            "mount": settings.transit_mount,
            "key_prefix": settings.transit_key_prefix,
            "ca_file": settings.authority_file,
            "role_id_file": settings.transit_role_id_file,
            "secret_id_file": settings.transit_secret_id_file,
        },
        "policy": {"directory": policies.absolute()},
        "audit": {
            "origin": ORIGIN,
            "signing_key": settings.signing_key,
            "witness_file": settings.witness_file,
        },
        "custody": {
            "role_id_file": settings.custodian_role_id_file,
            "secret_id_file": settings.custodian_secret_id_file,
            "ledger_file": settings.ledger_file,
        },
        "telemetry": {"span_file": settings.state / "spans.jsonl"},
    }
    lines = ["# Written at each start of the embedded instance; changes are lost."]
    for name, section in sections.items():
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {_toml(value, settings.state)}" for key, value in section.items()]
    return "\n".join(lines) + "\n"


def last_port(path: Path) -> int | None:
    """The service's port in a configuration written before, if there is one."""
    try:
        port = tomllib.loads(path.read_text())["server"]["port"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return port if isinstance(port, int) else None


def _toml(value: object, folder: Path) -> str:
    """A TOML value. What JSON writes for booleans, numbers and strings is TOML as well."""
    if isinstance(value, Path):
        value = str(value.relative_to(folder) if value.is_relative_to(folder) else value)
    return json.dumps(value, ensure_ascii=False)
