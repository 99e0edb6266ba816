"""The drill's page: whole, without script, and what failed stands out."""

import datetime as dt
from collections import Counter

from tests.support.backup_manifest import MANIFEST
from vault.app.drill import Check, DrillReport
from vault.app.drill_log import LogFound
from vault.app.drill_sample import Opened
from vault.app.restore import Filled
from vault.cli.drill_page import page, span
from vault.store.restored import Remains

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.UTC)


def report(*, passed: bool) -> DrillReport:
    return DrillReport(
        began_at=NOW,
        operator="ann@<host>",
        pdvault="0.1.0",
        file="b.pdb",
        filled=Filled(MANIFEST, (), {"tokens": 500_000, "writes": 0}, 12_345, 40.0),
        rto_seconds=47.6,
        rpo_seconds=90_000,
        lost_entries=12,
        erased=3,
        replayed=4,
        before=Remains(2, 2, 4, 4),
        after=Remains(0, 0, 0, 4),
        log=LogFound(True, "sound", MANIFEST.origin, 3, 3, "ab" * 32),
        opened=Counter({Opened("phone", "demo-shop", 2, passed): 500}),
        phases={"restore": 40.0},
        checks=[Check("A sample of values opens", passed, "500 of 500 & <b>")],
    )


def test_everything_that_an_assessor_asks_is_there():
    text = page(report(passed=True))
    for part in (
        "Restore drill: passed",
        "ann@&lt;host&gt;",
        "500 of 500 &amp; &lt;b&gt;",
        "47.6 s",
        "1 days 1 h",
        "500,000",
        MANIFEST.backup_id.hex,
        "2026-11-21 08:30:00 UTC",
        "pdvault.example/audit",
        "opened",
        "signature",
    ):
        assert part in text
    assert "FAILED" not in text
    assert "<script" not in text
    assert "<td>writes" not in text
    assert text.count("<table") == text.count("</table>")


def test_what_failed_stands_out():
    text = page(report(passed=False))
    assert "Restore drill: FAILED" in text
    assert "<em>FAILED</em>" in text
    assert "<em>did not open</em>" in text


def test_a_drill_without_a_check_did_not_pass():
    assert not DrillReport(NOW, "", "", "").passed
    assert "FAILED" in page(DrillReport(NOW, "", "", ""))


def test_spans():
    assert ["0.5 s", "1 min 30 s", "2 h 3 min", "3 days 4 h"] == [
        span(0.5),
        span(90),
        span(2 * 3600 + 200),
        span(3 * 86_400 + 4 * 3600),
    ]
