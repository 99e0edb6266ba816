"""Keys at a glance: what a custodian reads off `keys status`, a job and a certificate."""

import datetime as dt

import pytest

from vault.cli import key_picture
from vault.client import Erasure, Job, JobState, KeyKind, KeyStatus, KeyVersion

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
MADE = dt.datetime(2026, 5, 21, tzinfo=dt.UTC)


def key(**changes) -> KeyStatus:
    facts = {
        "kind": KeyKind.ROOT,
        "name": "pdv-demo-shop",
        "version": 3,
        "version_made_at": MADE,
        "crypto_period": dt.timedelta(days=368),
        "due_at": dt.datetime(2027, 5, 24, tzinfo=dt.UTC),
        "versions": (KeyVersion(2, None, 250, 1), KeyVersion(3, MADE, 750, 0)),
        "min_decryption_version": 2,
        "min_available_version": 1,
        "max_uses": 0,
        "keys_near_limit": 0,
        "advice": (),
        "job_id": "",
    } | changes
    return KeyStatus(**facts)


def job(**changes) -> Job:
    facts = {
        "job_id": "j1",
        "kind": KeyKind.ROOT,
        "key_name": "pdv-demo-shop",
        "from_version": 2,
        "to_version": 3,
        "state": JobState.RUNNING,
        "started_by": "custodian-1",
        "started_at": NOW,
        "ended_at": None,
        "rows_done": 500,
        "rows_total": 1000,
        "rows_failed": 0,
        "rows_per_second": 100.0,
        "seconds_left": 5,
        "workers": 2,
        "phase": "",
    } | changes
    return Job(**facts)


def test_age_versions_and_what_is_to_be_done():
    assert [
        "root key  pdv-demo-shop  version 3",
        "  age     ███████████████░░░░░░░░░░░░░░░  50% of 368 days, due 2027-05-24",
        "  v2      ████████░░░░░░░░░░░░░░░░░░░░░░  25%  250 wrapped keys, 1 backups need it",
        "  v3      ██████████████████████░░░░░░░░  75%  750 wrapped keys",
        "  retired below version 2, trimmed below version 1",
        "  ok      nothing to do",
    ] == key_picture.key_lines(key(), NOW)


def test_advice_takes_the_place_of_ok():
    lines = key_picture.key_lines(key(advice=("rotate: the period is over",), job_id="j1"), NOW)
    assert "  ! rotate: the period is over" == lines[-1]
    assert not any("nothing to do" in line for line in lines)
    assert any("keys watch j1" in line for line in lines)


def test_uses_against_the_limit():
    lines = key_picture.key_lines(
        key(kind=KeyKind.SUBJECT, name="", version=0, versions=(), max_uses=2**31,
            keys_near_limit=1),
        NOW,
    )  # fmt: skip
    assert any("2,147,483,648 of 2^32 seals, 1 near the limit" in line for line in lines)


@pytest.mark.parametrize(
    ("share", "blocks"), [(0, 0), (1e-9, 1), (0.5, 15), (1, 30), (7, 30), (-1, 0)]
)
def test_a_bar_keeps_its_width_and_shows_what_is_there(share, blocks):
    assert ("█" * blocks + "░" * (30 - blocks)) == key_picture.bar(share)


def test_a_job_under_way_is_never_drawn_as_done():
    line = key_picture.job_line(job(rows_done=1000))
    assert "1,000 of 1,000 rows" in line
    assert "0:00:05 left" in line
    assert "running" in line


def test_rows_that_stay_are_told():
    line = key_picture.job_line(job(state=JobState.FAILED, rows_failed=3, seconds_left=0))
    assert "3 can't be moved" in line


@pytest.mark.parametrize(
    ("complete_at", "versions", "said"),
    [
        (None, (), "none that is declared holds it"),
        (NOW, (1, 2), "none that is declared can bring it back after 2026-11-21 00:00:00 UTC"),
    ],
)
def test_a_certificate_says_when_the_erasure_is_complete(complete_at, versions, said):
    facts = dict(
        key_picture.erasure_facts(
            Erasure(
                "e1", "s1", "consumer_request", NOW, 4, "ab", NOW, complete_at, versions, "x1", 5
            )
        )
    )
    assert said == facts["backups"]
    assert ("dead once root versions 1, 2 are trimmed" if versions else "none") == facts[
        "other copies"
    ]
