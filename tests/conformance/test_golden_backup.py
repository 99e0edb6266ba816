"""The golden bytes of a backup's outer format, written without the product's code."""

import datetime as dt
import hashlib
import io
import json
import uuid
from pathlib import Path

import pytest

from tests.vectors import make_backup
from vault.backup.stream import BackupSealer, open_chunks, read_header

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "vectors" / "backup.json").read_text(encoding="utf-8")
)
DATA_KEY, KEY_SALT = bytes.fromhex(GOLDEN["data_key"]), bytes.fromhex(GOLDEN["key_salt"])


def test_the_script_makes_the_file():
    assert make_backup.make() == GOLDEN


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: str(case["length"]))
def test_bytes_are_golden_both_ways(case):
    plain = make_backup.pattern(case["length"])
    sealer = BackupSealer(
        backup_id=uuid.UUID("00112233-4455-4677-8899-aabbccddeeff"),
        begun_at=dt.datetime(2026, 11, 21, 8, 30, tzinfo=dt.UTC),
        transit_key="pdv-backup",
        wrapped="vault:v3:AAECAwQ=",
        data_key=DATA_KEY,
        key_salt=KEY_SALT,
    )
    sealed = b"".join(sealer.add(plain)) + sealer.finish()

    assert bytes.fromhex(GOLDEN["preamble"]) == sealer.preamble
    assert case["sealed_sha256"] == hashlib.sha256(sealed).hexdigest()
    assert case.get("sealed", sealed.hex()) == sealed.hex()
    file = io.BytesIO(sealer.preamble + sealed)
    assert plain == b"".join(open_chunks(file.read, read_header(file.read), DATA_KEY))
