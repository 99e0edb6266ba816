"""The sections of the configuration: every key, its default, unit and range.

Declarations only; the reference docs/configuration.md is rendered from them.
`vault.config` loads and judges them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vault.settings import Setting

_MOUNT = r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*"
_MOUNT_FORM = "letters, digits, `_`, `-`, in parts between `/`"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The gRPC listener. Mutual TLS is not a choice."""

    listen_address: Annotated[
        str, Setting("IP address to listen on; `0.0.0.0` or `::` for all.")
    ] = "127.0.0.1"
    port: Annotated[int, Setting("TCP port to listen on.", low=1, high=65535)] = 7443
    tls_certificate: Annotated[
        Path, Setting("The server's certificate, then its intermediates, in PEM.")
    ]
    tls_key: Annotated[Path, Setting("Its private key, PEM without password. Secret.")]
    client_ca: Annotated[
        Path, Setting("The CAs that issue client certificates, in PEM, and no others.")
    ]
    trust_domain: Annotated[
        str, Setting("SPIFFE trust domain of every caller, such as `pdvault.example`.")
    ]
    environment: Annotated[
        str,
        Setting(
            "Marker in every token, such as `prod`, so that tokens of a test system stand out.",
            pattern=r"[a-z][a-z0-9]{1,7}",
            form="2 to 8 of a-z 0-9, a letter first",
        ),
    ]
    reflection: Annotated[
        bool, Setting("Let clients ask for the list of services and messages.")
    ] = False
    workers: Annotated[
        int,
        Setting(
            "Processes that share the port. Each has caches, queues and connections of its own, so "
            "that all limits here are for each. On two cores a second one brings little.",
            low=1,
            high=64,
        ),
    ] = 1
    drain_seconds: Annotated[
        float,
        Setting("How long calls may finish after a stop signal.", unit="seconds", low=0, high=600),
    ] = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseConfig:
    """PostgreSQL. Each URL stands in a file of its own: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full`."""

    url_file: Annotated[Path, Setting("URL of the service role. Secret.")]
    audit_reader_url_file: Annotated[
        Path, Setting("URL of the role that reads the audit log. Secret.")
    ]
    sequencer_url_file: Annotated[
        Path | None,
        Setting("URL of the role that grows the log's tree; needed by `audit.sequencer`. Secret."),
    ] = None
    custodian_url_file: Annotated[
        Path | None,
        Setting("URL of the custodians' role; with it, this process serves custody. Secret."),
    ] = None
    pool_max: Annotated[int, Setting("Most connections of the service role.", low=1, high=200)] = 10
    audit_reader_pool_max: Annotated[
        int, Setting("Most connections of the audit reader.", low=1, high=200)
    ] = 2
    connect_timeout_seconds: Annotated[
        float, Setting("Longest wait for a new connection.", unit="seconds", low=0.1, high=60)
    ] = 5.0
    statement_timeout_seconds: Annotated[
        float,
        Setting(
            "Longest statement; below `limits.default_deadline_seconds`.",
            unit="seconds",
            low=0.1,
            high=60,
        ),
    ] = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitConfig:
    """The key store: Transit of Vault or OpenBao. Log in by AppRole or by a token, not both."""

    address: Annotated[str, Setting("`https://HOST:PORT`; `http://` only on this machine.")]
    namespace: Annotated[
        str | None, Setting("Namespace, if any.", pattern=_MOUNT + "/?", form=_MOUNT_FORM)
    ] = None
    mount: Annotated[
        str, Setting("Where Transit is mounted.", pattern=_MOUNT, form=_MOUNT_FORM)
    ] = "transit"
    key_prefix: Annotated[
        str,
        Setting(
            "What root key names begin with; the tenant follows.",
            pattern=r"[a-z0-9][a-z0-9_-]{0,31}",
            form="1 to 32 of a-z 0-9 _ -",
        ),
    ] = "pdv-"
    ca_file: Annotated[
        Path | None, Setting("CAs of its certificate, in PEM; none: those of the system.")
    ] = None
    approle_mount: Annotated[
        str, Setting("Where AppRole is mounted.", pattern=_MOUNT, form=_MOUNT_FORM)
    ] = "approle"
    role_id_file: Annotated[Path | None, Setting("AppRole role id. Secret.")] = None
    secret_id_file: Annotated[Path | None, Setting("AppRole secret id. Secret.")] = None
    token_file: Annotated[Path | None, Setting("Token, in place of AppRole. Secret.")] = None
    connect_seconds: Annotated[
        float, Setting("Longest wait for a connection.", unit="seconds", low=0.1, high=30)
    ] = 1.0
    read_seconds: Annotated[
        float,
        Setting(
            "Longest wait for an answer. Two attempts, each a connection and an answer, end "
            "before `limits.default_deadline_seconds`.",
            unit="seconds",
            low=0.1,
            high=60,
        ),
    ] = 3.0
    max_batch: Annotated[
        int, Setting("Most keys in one request.", unit="keys", low=1, high=300)
    ] = 200
    threads: Annotated[int, Setting("Most requests under way.", low=1, high=32)] = 4
    probe_seconds: Annotated[
        float, Setting("Time between two probes of its health.", unit="seconds", low=0.1, high=60)
    ] = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """The policy bundle."""

    directory: Annotated[
        Path, Setting("Directory of the bundle: policies, purposes, field types, callers, issuers.")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """Opened subject keys in memory. A key leaves at whichever bound comes first."""

    max_entries: Annotated[int, Setting("Most keys.", unit="keys", low=1, high=10_000_000)] = (
        100_000
    )
    max_age_seconds: Annotated[
        float,
        Setting(
            "Oldest key; also how long a revocation in Transit can take.",
            unit="seconds",
            low=1,
            high=3600,
        ),
    ] = 60.0
    max_uses: Annotated[
        int, Setting("Most uses of a key before it is opened anew.", unit="uses", low=1, high=2**32)
    ] = 1_000_000
    grace_seconds: Annotated[
        float,
        Setting(
            "How long cached keys serve after Transit was lost; at most `max_age_seconds`.",
            unit="seconds",
            low=0.1,
            high=3600,
        ),
    ] = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """What one call may ask for, and how much may wait. Whatever is beyond is refused by name."""

    request_bytes: Annotated[
        int, Setting("Longest request.", unit="bytes", low=1024, high=64 * 1024 * 1024)
    ] = 2 * 1024 * 1024
    items: Annotated[int, Setting("Most items of a call.", low=1, high=10_000)] = 1000
    subjects: Annotated[
        int, Setting("Most subjects of a call; at most `items`.", low=1, high=10_000)
    ] = 500
    fields_per_subject: Annotated[
        int, Setting("Most fields of one subject; at most `items`.", low=1, high=10_000)
    ] = 100
    in_flight_calls: Annotated[
        int,
        Setting(
            "Most calls at work at once. One of more than a KiB "
            "counts as several; half is for one caller.",
            low=1,
            high=100_000,
        ),
    ] = 1024
    row_queue: Annotated[
        int,
        Setting("Most items waiting for the database; at least `items`.", low=1, high=1_000_000),
    ] = 20_000
    key_queue: Annotated[
        int, Setting("Most keys waiting for Transit; at least `items`.", low=1, high=1_000_000)
    ] = 20_000
    audit_queue: Annotated[
        int,
        Setting(
            "Most audit entries waiting to be written; at least `items`.", low=1, high=1_000_000
        ),
    ] = 20_000
    default_deadline_seconds: Annotated[
        float, Setting("Deadline of a call that brings none.", unit="seconds", low=0.5, high=300)
    ] = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """The audit log's tree and its signed checkpoints. One log per database."""

    origin: Annotated[
        str,
        Setting(
            "Name of the log, such as `shop.example/audit`: first line of every checkpoint, name "
            "of its key. Never changed, never used for another log.",
            pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}(/[A-Za-z0-9._-]{1,99}){0,4}",
            form="letters, digits, `.`, `_`, `-`, in parts between `/`",
        ),
    ]
    signing_key: Annotated[
        str,
        Setting(
            "Transit key that signs: type ed25519, not exportable.",
            pattern=r"[a-z0-9][a-z0-9_-]{0,62}",
            form="1 to 63 of a-z 0-9 _ -",
        ),
    ] = "pdv-audit-log"
    sequencer: Annotated[
        bool,
        Setting(
            "Take part in growing the tree: of all processes that do, one works and the others "
            "stand by. At least one has to."
        ),
    ] = True
    checkpoint_seconds: Annotated[
        float,
        Setting(
            "Least time between two checkpoints; entries wait no longer than about this.",
            unit="seconds",
            low=0.1,
            high=1.0,
        ),
    ] = 0.5
    witness_file: Annotated[
        Path,
        Setting(
            "Where the newest checkpoint is kept outside the database. A database that is "
            "older, or has another history, is refused at start. Not on the database's disk."
        ),
    ]
    archive_directory: Annotated[
        Path | None,
        Setting(
            "Where months of the log that went to files can be read (docs/storage.md, archive), "
            "for exports; none: their leaves are exported as hashes."
        ),
    ] = None
    witnesses_file: Annotated[
        Path | None,
        Setting(
            "TOML file with the outside witnesses that cosign checkpoints, a `[[witness]]` with "
            "`url`, `verifier_key` and perhaps `ca_file` for each (below); none: nobody does."
        ),
    ] = None
    witness_quorum: Annotated[
        int,
        Setting(
            "How many witnesses must have cosigned a checkpoint for it to count as witnessed; "
            "0: none. Publication waits for nobody.",
            low=0,
            high=16,
        ),
    ] = 0
    witness_lag_seconds: Annotated[
        float,
        Setting(
            "How long a checkpoint may wait for that, or for any one witness, before an alarm.",
            unit="seconds",
            low=1,
            high=86_400,
        ),
    ] = 60.0
    patrol_leaves_per_second: Annotated[
        int,
        Setting(
            "How many stored leaves the patrol derives anew; a tenth of it under load.",
            unit="leaves a second",
            low=10,
            high=100_000,
        ),
    ] = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodyConfig:
    """Keys, erasure and backups; served where `database.custodian_url_file` is set."""

    role_id_file: Annotated[Path | None, Setting("AppRole role id of the custodians. Secret.")] = (
        None
    )
    secret_id_file: Annotated[
        Path | None, Setting("AppRole secret id of the custodians. Secret.")
    ] = None
    token_file: Annotated[Path | None, Setting("Token, in place of AppRole. Secret.")] = None
    ledger_file: Annotated[
        Path | None,
        Setting(
            "The ledger of erasures. Outside the database and its backups; every process "
            "reads it, those of custody add to it. Required for custody."
        ),
    ] = None
    approval_key: Annotated[
        str,
        Setting(
            "Transit key that signs approvals: type ed25519, not exportable.",
            pattern=r"[a-z0-9][a-z0-9_-]{0,62}",
            form="1 to 63 of a-z 0-9 _ -",
        ),
    ] = "pdv-custody"
    backup_key: Annotated[
        str,
        Setting(
            "Transit key that wraps the keys of backups: type aes256-gcm96, not exportable.",
            pattern=r"[a-z0-9][a-z0-9_-]{0,62}",
            form="1 to 63 of a-z 0-9 _ -",
        ),
    ] = "pdv-backup"
    request_seconds: Annotated[
        float,
        Setting(
            "How long a request may wait for approval and be carried out.",
            unit="seconds",
            low=10,
            high=2_592_000,
        ),
    ] = 86_400.0
    schedule: Annotated[
        bool, Setting("Rotate keys by itself when their crypto-period is over.")
    ] = True
    root_period_days: Annotated[
        float, Setting("Crypto-period of a root key's version.", unit="days", low=0.0001, high=3650)
    ] = 365.0
    index_period_days: Annotated[
        float,
        Setting("Crypto-period of an index key's version.", unit="days", low=0.0001, high=3650),
    ] = 730.0
    signing_period_days: Annotated[
        float,
        Setting("Crypto-period of the signing key's version.", unit="days", low=0.0001, high=3650),
    ] = 730.0
    subject_period_days: Annotated[
        float,
        Setting(
            "Crypto-period of a subject's key; over it, an advice, no rotation by itself.",
            unit="days",
            low=0.0001,
            high=36_500,
        ),
    ] = 1825.0
    periods_file: Annotated[
        Path | None,
        Setting(
            "TOML file with tenants' own crypto-periods, a table for each, such as "
            "`[demo-shop]` with `root_days = 90`; none: the same for all."
        ),
    ] = None
    rows_per_second: Annotated[
        int,
        Setting(
            "Most rows that all processes together move in a rotation; 0: as fast as it goes.",
            unit="rows a second",
            low=0,
            high=1_000_000,
        ),
    ] = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryConfig:
    """Spans, metrics and logs. The audit log is none of these and can't be configured."""

    otlp_endpoint: Annotated[
        str | None,
        Setting("OTLP collector (gRPC), `https://HOST:PORT`; `http://` only on this machine."),
    ] = None
    otlp_ca_file: Annotated[
        Path | None,
        Setting("CAs of the collector's certificate, in PEM; none: those of the system."),
    ] = None
    span_queue: Annotated[
        int,
        Setting(
            "Most spans waiting for export; more are dropped and counted.",
            unit="spans",
            low=1,
            high=1_000_000,
        ),
    ] = 2048
    span_file: Annotated[
        Path | None,
        Setting("Also write spans to this file, all workers to the same; the embedded mode does."),
    ] = None
    log_level: Annotated[
        str, Setting("Least severe log line.", choices=("debug", "info", "warning", "error"))
    ] = "info"
