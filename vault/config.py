"""The configuration of `pdvault serve`: one TOML file, one frozen dataclass per section.

Guarantees that a `Config` is complete, within its ranges and consistent, and that the
files that it names are usable and, where secret, closed to others; `load_config` names
every fault, not only the first. It holds paths, never secrets. Whether the database and
Transit answer is found out at start, not here.

`python -m vault.config` prints docs/configuration.md.
"""

import datetime as dt
import functools
import ipaddress
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar, cast

from vault import config_files
from vault.authn.spiffe import SpiffeIdError, check_trust_domain
from vault.clock import Clock, SystemClock
from vault.config_files import FileError
from vault.config_sections import (
    AuditConfig,
    CacheConfig,
    CustodyConfig,
    DatabaseConfig,
    LimitsConfig,
    PolicyConfig,
    ServerConfig,
    TelemetryConfig,
    TransitConfig,
)
from vault.config_witnesses import WitnessConfig, read_witnesses
from vault.errors import Violation
from vault.settings import quote, read_section, reference

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that `pdvault serve` is told."""

    server: ServerConfig
    database: DatabaseConfig
    transit: TransitConfig
    policy: PolicyConfig
    cache: CacheConfig
    limits: LimitsConfig
    audit: AuditConfig
    custody: CustodyConfig
    telemetry: TelemetryConfig


SECTIONS: dict[str, type] = {section.name: cast("type", section.type) for section in fields(Config)}


class ConfigError(Exception):
    """The configuration is refused.

    Attributes:
        faults: every fault found: `section.key` and what is wrong, without the value.
    """

    def __init__(self, path: Path, faults: list[Violation]) -> None:
        lines = [
            f"  {fault.field}: {fault.text}" if fault.field else f"  {fault.text}"
            for fault in faults
        ]
        super().__init__("\n".join([f"{path}: refused, {len(faults)} fault(s):", *lines]))
        self.faults = tuple(faults)


def load_config(path: Path, *, clock: Clock | None = None) -> Config:
    """Read and judge a configuration file. Relative paths in it start at its folder.

    Args:
        path: the TOML file.
        clock: judges the certificates' validity; none: the system's clock.

    Raises:
        ConfigError: with every fault. Settings are judged together, and files opened, for
            each section that is itself well formed.
    """
    document = _read_document(path)
    faults = [
        Violation(quote(name), "is not a known section")
        for name in document
        if name not in SECTIONS
    ]
    # Joined, so that a change of the working directory changes nothing.
    folder = Path.cwd() / path.parent
    sections: dict[str, object] = {}
    for name, kind in SECTIONS.items():
        section, wrong = read_section(kind, document.get(name, {}), name=name, folder=folder)
        faults += wrong
        if section is not None:
            sections[name] = section
    now = dt.datetime.fromtimestamp((clock or SystemClock()).unix_ns() // 10**9, dt.UTC)
    judge = _Judge(now)
    judge.judge(sections)
    faults += judge.faults
    if faults:
        raise ConfigError(path, faults)
    return Config(**sections)  # type: ignore[arg-type]  # each is of its SECTIONS type


def _read_document(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(config_files.read_file(path).decode("utf-8"))
    except FileError as error:
        raise ConfigError(path, [Violation("", str(error))]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [Violation("", f"is not TOML: {error}")]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(path, [Violation("", "is not TOML in UTF-8")]) from error


class _Judge:
    """Collects what is wrong with well-formed sections, alone and together."""

    def __init__(self, now: dt.datetime) -> None:
        self._now = now
        self.faults: list[Violation] = []

    def judge(self, sections: dict[str, object]) -> None:
        # A section that is not well formed is absent, and so is what depends on it.
        for section in sections.values():
            match section:
                case ServerConfig():
                    self._judge_server(section)
                case DatabaseConfig():
                    self._judge_database(section)
                case TransitConfig():
                    self._judge_transit(section)
                case PolicyConfig():
                    self._judge_policy(section)
                case CacheConfig():
                    self._judge_cache(section)
                case LimitsConfig():
                    self._judge_limits(section)
                case AuditConfig():
                    self._judge_audit(section)
                case CustodyConfig():
                    self._judge_custody(section, sections.get("database"))
                case TelemetryConfig():
                    self._judge_telemetry(section)
        limits, database, transit = (sections.get(n) for n in ("limits", "database", "transit"))
        audit = sections.get("audit")
        if isinstance(audit, AuditConfig) and isinstance(database, DatabaseConfig):
            self._require(
                not audit.sequencer or database.sequencer_url_file is not None,
                "database.sequencer_url_file",
                "is missing; audit.sequencer needs it",
            )
        if isinstance(limits, LimitsConfig):
            if isinstance(database, DatabaseConfig):
                self._judge_timeout(
                    limits, "database.statement_timeout_seconds", database.statement_timeout_seconds
                )
            if isinstance(transit, TransitConfig):
                # As vault.crypto.transit_settings: a new login and one repetition.
                longest = 2 * (transit.connect_seconds + transit.read_seconds)
                self._judge_timeout(limits, "transit.read_seconds", longest)

    def _judge_server(self, server: ServerConfig) -> None:
        self._try("server.listen_address", lambda: _check_ip(server.listen_address))
        self._try("server.trust_domain", lambda: check_trust_domain(server.trust_domain))
        certificate = self._try(
            "server.tls_certificate",
            lambda: config_files.read_server_certificate(server.tls_certificate, now=self._now),
        )
        self._try(
            "server.tls_key", lambda: config_files.check_private_key(server.tls_key, certificate)
        )
        self._try(
            "server.client_ca", lambda: config_files.check_ca(server.client_ca, now=self._now)
        )

    def _judge_database(self, database: DatabaseConfig) -> None:
        service = self._try(
            "database.url_file", lambda: config_files.read_database_url(database.url_file)
        )
        reader = self._try(
            "database.audit_reader_url_file",
            lambda: config_files.read_database_url(database.audit_reader_url_file),
        )
        self._require(
            service is None or reader is None or service.user != reader.user,
            "database.audit_reader_url_file",
            "names the same user as url_file; the two roles have different rights",
        )
        others = {url.user for url in (service, reader) if url is not None}
        for name in ("sequencer_url_file", "custodian_url_file"):
            path: Path | None = getattr(database, name)
            if path is None:
                continue
            url = self._try(
                f"database.{name}", functools.partial(config_files.read_database_url, path)
            )
            self._require(
                url is None or url.user not in others,
                f"database.{name}",
                "names the same user as another URL; the roles have different rights",
            )
            others |= {url.user} if url is not None else set()

    def _judge_transit(self, transit: TransitConfig) -> None:
        scheme = self._try(
            "transit.address", lambda: config_files.check_http_address(transit.address)
        )
        self._judge_ca("transit.ca_file", transit.ca_file, scheme)
        self._judge_login("transit", transit)

    def _judge_login(self, name: str, section: TransitConfig | CustodyConfig) -> None:
        files = {
            "role_id_file": section.role_id_file,
            "secret_id_file": section.secret_id_file,
            "token_file": section.token_file,
        }
        given = {key for key, path in files.items() if path is not None}
        self._require(
            given in ({"role_id_file", "secret_id_file"}, {"token_file"}),
            f"{name}.token_file" if "token_file" in given else f"{name}.role_id_file",
            "give either role_id_file and secret_id_file, or token_file",
        )
        for key, path in files.items():
            if path is not None:
                self._try_secret(f"{name}.{key}", path)

    def _judge_custody(self, custody: CustodyConfig, database: object) -> None:
        ledger = custody.ledger_file
        if ledger is not None:
            self._try("custody.ledger_file", lambda: config_files.check_directory(ledger.parent))
        if isinstance(database, DatabaseConfig) and database.custodian_url_file is not None:
            self._judge_login("custody", custody)
            self._require(
                ledger is not None,
                "custody.ledger_file",
                "is missing; database.custodian_url_file needs it",
            )

    def _judge_policy(self, policy: PolicyConfig) -> None:
        self._try("policy.directory", lambda: config_files.check_directory(policy.directory))

    def _judge_cache(self, cache: CacheConfig) -> None:
        self._require(
            cache.grace_seconds <= cache.max_age_seconds,
            "cache.grace_seconds",
            "is more than max_age_seconds",
        )

    def _judge_limits(self, limits: LimitsConfig) -> None:
        for name in ("subjects", "fields_per_subject"):
            self._require(
                getattr(limits, name) <= limits.items, f"limits.{name}", "is more than items"
            )
        for name in ("row_queue", "key_queue", "audit_queue"):
            self._require(
                getattr(limits, name) >= limits.items,
                f"limits.{name}",
                "is less than items, so the largest call would never fit",
            )

    def _judge_audit(self, audit: AuditConfig) -> None:
        directory = audit.witness_file.parent
        self._try("audit.witness_file", lambda: config_files.check_directory(directory))
        self._judge_witnesses(audit)
        archive = audit.archive_directory
        if archive is not None:
            self._try("audit.archive_directory", lambda: config_files.check_directory(archive))

    def _judge_witnesses(self, audit: AuditConfig) -> None:
        witnesses = audit.witnesses_file
        count = 0
        if witnesses is not None:
            read = self._try(
                "audit.witnesses_file", lambda: read_witnesses(witnesses, now=self._now)
            )
            if read is None:
                return
            count = len(read[0])
            self.faults += [
                Violation("audit.witnesses_file", f"{fault.field} {fault.text}")
                for fault in read[1]
            ]
            if read[1]:
                return
        self._require(
            audit.witness_quorum <= count,
            "audit.witness_quorum",
            "is more than there are witnesses",
        )

    def _judge_timeout(self, limits: LimitsConfig, field: str, seconds: float) -> None:
        self._require(
            seconds < limits.default_deadline_seconds,
            field,
            "lasts as long as limits.default_deadline_seconds or longer; the call would end first",
        )

    def _judge_telemetry(self, telemetry: TelemetryConfig) -> None:
        endpoint = telemetry.otlp_endpoint
        scheme = None
        if endpoint is None:
            self._require(
                telemetry.otlp_ca_file is None,
                "telemetry.otlp_ca_file",
                "is given without otlp_endpoint",
            )
        else:
            scheme = self._try(
                "telemetry.otlp_endpoint", lambda: config_files.check_http_address(endpoint)
            )
        self._judge_ca("telemetry.otlp_ca_file", telemetry.otlp_ca_file, scheme)
        if telemetry.span_file is not None:
            directory = telemetry.span_file.parent
            self._try("telemetry.span_file", lambda: config_files.check_directory(directory))

    def _judge_ca(self, field: str, path: Path | None, scheme: str | None) -> None:
        if path is not None:
            self._try(field, lambda: config_files.check_ca(path, now=self._now))
            self._require(scheme != "http", field, "is given, but the address is http://")

    def _try_secret(self, field: str, path: Path) -> None:
        self._try(field, lambda: config_files.read_secret(path))

    def _try(self, field: str, check: Callable[[], _Result]) -> _Result | None:
        try:
            return check()
        except (FileError, SpiffeIdError) as error:
            self.faults.append(Violation(field, str(error)))
            return None

    def _require(self, holds: bool, field: str, text: str) -> None:
        if not holds:
            self.faults.append(Violation(field, text))


def _check_ip(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise FileError("must be an IP address") from None


def main() -> int:
    """Print the reference."""
    sys.stdout.write(
        "# Configuration\n\n"
        "<!-- Rendered by `python -m vault.config > docs/configuration.md`; do not edit. -->\n\n"
        "`pdvault serve --config FILE` reads one TOML file; deploy/pdvault.example.toml is one "
        "with comments.\nUnknown sections and keys are refused, and so is every unsafe or "
        "inconsistent setting, all at once.\nRelative paths start at the folder of the file. "
        "A file marked *Secret* must be a regular file that\nonly its owner can read (mode 600 "
        "or 400).\n\n" + reference(SECTIONS) + "\n" + reference({"[witness]": WitnessConfig})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
