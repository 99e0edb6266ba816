"""Entries as sentences, counts as bars."""

import dataclasses
import datetime as dt
import json
import xml.etree.ElementTree as ET

import pytest

from tests.support.log_vault import LogVault, in_place_of
from tests.support.small_log import SmallLog, entry_bytes
from vault.audit.entry import decode
from vault.cli import values
from vault.cli.audit_stats import SERIES, gather
from vault.cli.audit_words import live_line, sentence, story
from vault.cli.bar_svg import bars_svg, columns_svg
from vault.cli.entry_values import client_entry
from vault.cli.main import main
from vault.client import AccessCount, Reason, Verdict, View

HOUR = dt.datetime(2026, 11, 21, 8, tzinfo=dt.UTC)
ENTRY = client_entry(decode(entry_bytes(3)), entry_bytes(3))
ITEM = ENTRY.items[0]
REFUSED = dataclasses.replace(
    ITEM, verdict=Verdict.REFUSED, reason=Reason.CONSENT_MISSING, view=View.UNSPECIFIED
)


def entry(**changes):
    return dataclasses.replace(ENTRY, **changes)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            ENTRY,
            (
                "/shop/shipping (role shipping) saw phone in full of consumer 00000000 "
                "(rule reveal-full), for delivery"
            ),
        ),
        (
            entry(items=(ITEM, ITEM, REFUSED, REFUSED)),
            (
                "/shop/shipping (role shipping) saw phone in full (2) of consumer 00000000 "
                "(rule reveal-full); was not allowed to see phone of consumer 00000000: consent "
                "missing, for delivery"
            ),
        ),
        (
            entry(rpc="vault.v1.AuditService/ListEntries", items=(), purpose="", subject_id=""),
            "/shop/shipping (role shipping) read the audit log",
        ),
        (
            entry(
                caller="",
                roles=(),
                items=(),
                purpose="",
                verdict=Verdict.REFUSED,
                reason=Reason.CALLER_UNKNOWN,
                rpc="vault.v1.New/Method\x1b[2J",
            ),
            "an unknown caller was not allowed to call Method\ufffd[2J: caller unknown",
        ),
    ],
)
def test_sentences(given, text):
    assert text == sentence(given, names_subject=True)


def test_a_story_has_first_last_days_and_a_summary():
    later = entry(time=ENTRY.time + dt.timedelta(days=1), items=(REFUSED,))
    lines = list(story([ENTRY, ENTRY, later], names_subject=False))
    assert lines[0].startswith("3 entries of 1 call, the first 2023-11-14 22:13:20 UTC, the last")
    assert "  /shop/shipping saw phone in full 2 times" == lines[1]
    assert ["Tuesday, 2023-11-14", "Wednesday, 2023-11-15"] == [
        line for line in lines if "day, " in line
    ]
    assert "consumer" not in "".join(lines)
    assert ["no entries"] == list(story([], names_subject=False))


def test_a_live_line():
    assert (
        "2023-11-14 22:13:20  ALLOWED  /shop/shipping  Detokenize  for delivery  of 00000000  "
        "phone full" == live_line(ENTRY)
    )


def count(hours, verdict, entries, caller="spiffe://d.e/shop/order", purpose="delivery"):
    return AccessCount(HOUR + dt.timedelta(hours=hours), "r", caller, purpose, verdict, entries)


COUNTS = [
    count(0, Verdict.ALLOWED, 7),
    count(0, Verdict.REFUSED, 2, caller="spiffe://d.e/<&'\">"),
    count(3, Verdict.ALLOWED, 1, purpose=""),
    count(3, Verdict.UNSPECIFIED, 5, caller=""),
]


def test_counts_become_bars():
    callers = gather(COUNTS, "caller")
    assert [("/shop/order", 8), ("not established", 5), ("/<&'\">", 2)] == [
        (bar.name, bar.total) for bar in callers
    ]
    assert {"FAILED": 5} == callers[1].counts  # a verdict that is newer than this client
    hours = gather(COUNTS, "hour")
    assert ["2026-11-21 08:00", "2026-11-21 09:00", "2026-11-21 10:00", "2026-11-21 11:00"] == [
        bar.name for bar in hours
    ]
    assert [9, 0, 0, 6] == [bar.total for bar in hours]
    assert ["delivery", "none"] == [bar.name for bar in gather(COUNTS, "purpose")]
    assert [] == gather([], "hour")


@pytest.mark.parametrize("draw", [bars_svg, columns_svg])
@pytest.mark.parametrize("counts", [COUNTS, COUNTS[:1], []], ids=["some", "one", "none"])
def test_a_drawing_is_sound_xml_within_its_frame(draw, counts):
    bars = gather(counts, "hour" if draw is columns_svg else "caller")
    root = ET.fromstring(draw("T <&>", "s", SERIES, bars))  # noqa: S314  our own
    _, _, width, height = map(float, root.get("viewBox").split())
    space = "{http://www.w3.org/2000/svg}"
    parts = [rect for rect in root.iter(f"{space}rect") if rect.find(f"{space}title") is not None]
    assert sum(len([n for n in bar.counts.values() if n]) for bar in bars) == len(parts)
    for rect in parts:
        x, y, w, h = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height + 0.1


def test_the_command_draws_and_counts(monkeypatch, tmp_path, capsys):
    class StatsVault(LogVault):
        def get_stats(self, since, until, **_):
            self.asked.append((since, until))
            return tuple(COUNTS)

    path = tmp_path / "plot.svg"
    with in_place_of(monkeypatch, StatsVault(SmallLog.of(1)), "audit_stats") as vault:
        assert 0 == main(["audit", "stats", "--svg", str(path), "--by", "verdict"])
        out, err = capsys.readouterr()
        assert "ALLOWED      ████" in out
        assert f"{path}: 3 bars" in err
        assert 0 == main(["audit", "stats", "--json", "--by", "verdict"])
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"ALLOWED": 8, "UNSPECIFIED": 5, "REFUSED": 2} == {
        row["verdict"]: row["entries"] for row in rows
    }
    since, until = vault.asked[0]
    assert dt.timedelta(days=1) == until - since
    ET.fromstring(path.read_text())  # noqa: S314  our own


def test_indexes_are_read_strictly():
    assert 0 == values.index("0")
    with pytest.raises(Exception, match="whole number"):
        values.index("-1")
