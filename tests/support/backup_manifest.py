"""A backup's manifest for tests that need no server."""

import datetime as dt
import uuid

from vault.backup.contents import Manifest, Roots, Table, TransitKey

NOW = dt.datetime(2026, 11, 21, 8, 30, tzinfo=dt.UTC)
MANIFEST = Manifest(
    backup_id=uuid.UUID(int=7),
    pdvault="0.1.0",
    made_by="root@vm",
    taken_at=NOW,
    keep_until=NOW + dt.timedelta(days=35),
    postgres="18.6",
    migrations=(("0001_pre_first_tables.sql", "ab"),),
    tables=(
        Table("tokens", "tokens", ("token",)),
        Table("audit_entries_2026_11", "audit_entries", ("entry_id", "entry")),
    ),
    partitions=("audit_entries_2026_11",),
    origin="pdvault.example/audit",
    leaves=3,
    checkpoint="note",
    verifier_keys=("key",),
    ledger_index=2,
    ledger_hash="cd",
    transit_mount="transit",
    transit_namespace="",
    transit_keys=(TransitKey("pdv-demo-shop", "aes256-gcm96", 2, 1),),
    roots=(Roots("demo-shop", 1, 5),),
)
