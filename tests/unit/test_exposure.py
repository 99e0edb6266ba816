"""What a leak really revealed: counts, the report as JSON and as a page, and the command."""

import datetime as dt
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.leak_story import BEGIN_US, HOUR_US, STRANGER, SUPPORT, TOKENS, story, subject
from vault.audit.entry import decode
from vault.audit.exposure import Exposure, Leak, moment
from vault.cli.exposure_page import MOST_CONSUMERS, page
from vault.cli.exposure_report import Report, Source
from vault.cli.main import main
from vault.crypto.tokens import token_digest
from vault.model import View

GOLDEN = Path(__file__).parents[1] / "vectors" / "exposure.json"
LOG = story()
ENTRIES = [decode(each) for each in LOG.entries]
MADE = dt.datetime(2025, 11, 24, tzinfo=dt.UTC)
SENSITIVE = {"phone": False, "person_name": False, "bank_card": True}
POLICIES = Path(__file__).parents[2] / "policies"


def at(hours: float) -> dt.datetime:
    return moment(BEGIN_US + int(hours * HOUR_US))


def count(leak: Leak, entries=ENTRIES) -> Exposure:
    found = Exposure(leak)
    for entry in entries:
        found.add(entry)
    return found


def report(leak: Leak, **more) -> Report:
    return Report(count(leak), Source("service"), MADE, **more)


STOLEN = Leak(callers=frozenset({SUPPORT}), start=at(20), end=at(60))


def test_what_was_revealed_to_the_leaked_caller_in_its_time():
    found = count(STOLEN)
    assert 9 == found.read
    assert (5, 4, 3, 4) == (
        found.revealed.items,
        found.revealed.entries,
        found.consumers,
        found.data,
    )
    assert {
        ("phone", View.MASKED): 3,
        ("person_name", View.MASKED): 1,
        ("bank_card", View.LAST4): 1,
    } == {kind: tally.items for kind, tally in found.kinds.items()}
    assert 2 == found.consumers_of(("phone", View.MASKED))
    assert 2 == found.consumers_of(("phone", View.MASKED), ("person_name", View.MASKED))
    assert 0 == found.consumers_of(("phone", View.FULL))
    assert (24, 49) == tuple(
        (us - BEGIN_US) // HOUR_US for us in (found.revealed.first_us, found.revealed.last_us)
    )


def test_what_was_refused_meanwhile():
    found = count(STOLEN)
    assert {(SUPPORT, "REFUSED", "FIELD_NOT_IN_PURPOSE", "bank_card"): 2} == {
        key: tally.items for key, tally in found.refused.items()
    }
    assert [(SUPPORT, "vault.v1.AuditService/ListEntries", "FIELD_NOT_IN_PURPOSE")] == list(
        found.refused_calls
    )


def test_a_token_list_counts_these_tokens_only_whoever_called():
    tokens = frozenset(
        token_digest(TOKENS[key]) for key in [(0, "phone"), (0, "bank_card"), (3, "phone")]
    )
    found = count(Leak(tokens=tokens))
    assert {("phone", View.MASKED): 2, ("phone", View.FULL): 1} == {
        kind: tally.items for kind, tally in found.kinds.items()
    }
    assert (1, 1, 1) == (found.consumers, found.data, found.tokens_revealed)
    assert 1 == sum(tally.items for tally in found.refused.values())
    assert {} == found.refused_calls


@pytest.mark.parametrize(
    ("leak", "items"),
    [
        (Leak(), 7),
        (Leak(start=at(24)), 5),
        (Leak(end=at(24)), 2),
        (Leak(start=moment(ENTRIES[2].time_us), end=moment(ENTRIES[3].time_us)), 1),
        (Leak(callers=frozenset()), 0),
        (Leak(tokens=frozenset()), 0),
        (Leak(callers=frozenset({STRANGER})), 0),
        (Leak(callers=frozenset({SUPPORT}), tokens=frozenset({bytes(32)})), 0),
    ],
)
def test_all_that_is_given_must_hold(leak, items):
    assert items == count(leak).revealed.items


def test_the_order_of_entries_does_not_matter():
    shuffled = random.Random(1).sample(ENTRIES, len(ENTRIES))
    assert (
        report(STOLEN).document()
        == Report(count(STOLEN, shuffled), Source("service"), MADE).document()
    )


def test_the_report_as_json():
    """Mend tests/vectors/exposure.json by hand: docs/exposure.md describes it to others."""
    found = report(STOLEN, sensitive=SENSITIVE).document()
    assert json.loads(GOLDEN.read_text()) == json.loads(json.dumps(found))
    assert sorted(subject(person).hex for person in (0, 1, 2)) == [
        each["subject_id"] for each in found["consumers"]
    ]


def test_nothing_revealed():
    document = report(Leak(start=at(1000))).document()
    assert {
        "items": 0,
        "entries": 0,
        "first": None,
        "last": None,
        "consumers": 0,
        "data": 0,
        "listed_tokens": None,
    } == document["revealed"]
    assert "Nothing." in page(report(Leak(start=at(1000))))


class _Tags(HTMLParser):
    """Holds a page to be well formed."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        assert not {name for name, _ in attributes} & {"src", "href", "onclick", "onload"}
        if tag not in {"meta", "li"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag == self.open.pop()


def test_the_page_is_one_file_without_script():
    text = page(report(Leak(), sensitive=SENSITIVE))
    tags = _Tags()
    tags.feed(text)
    assert [] == tags.open
    assert not tags.seen & {"script", "link", "img", "iframe", "object", "form"}
    assert "default-src 'none'" in text
    assert not re.search(r"https?://", text)


def test_the_page_shows_foreign_text_as_text():
    text = page(report(Leak()))
    assert "&lt;b&gt;stranger" in text
    assert "<b>stranger" not in text


def test_the_page_says_what_the_authorities_ask_and_leaves_blank_what_people_know():
    text = page(report(STOLEN, sensitive=SENSITIVE))
    for word in ("PIPL article 57", "GDPR article 33", "Cause", "Possible harm", "Remedies taken"):
        assert word in text
    assert text.count("<div></div>") > 20
    assert "sensitive</em>" in text


def test_a_long_list_of_consumers_is_cut_on_the_page_only():
    found = report(Leak())
    for person in range(MOST_CONSUMERS + 5):
        found.exposure._consumers[person.to_bytes(16)] = found.exposure._consumers[subject(0).bytes]
    assert "8 more are in the JSON report" in page(found)
    assert MOST_CONSUMERS + 8 == len(found.document()["consumers"])


# --- The command, on an export ---------------------------------------------------------------


@pytest.fixture
def export(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(LOG.export()))
    return path


@pytest.fixture
def key():
    return str(LOG.signer.key)


def _run(capsys, *argv):
    code = main(["audit", "exposure", *map(str, argv)])
    out, err = capsys.readouterr()
    return code, out, err


def test_an_export_is_verified_and_counted(capsys, export, key, tmp_path):
    html = tmp_path / "report.html"
    options = ("--caller", SUPPORT, "--since", at(20).isoformat(), "--until", at(60).isoformat())
    code, out, _ = _run(
        capsys,
        *("--export", export, "--key", key, "--policies", POLICIES, "--html", html, "--json"),
        *options,
    )
    assert 0 == code
    found = json.loads(out)
    golden = json.loads(GOLDEN.read_text())
    for part in ("revealed", "by_view", "by_field", "by_caller", "refused", "consumers"):
        assert golden[part] == found[part]
    assert {
        "kind": "export",
        "log": LOG.origin,
        "from": 0,
        "until": 9,
        "checkpoint_size": 9,
        "hidden": 0,
    } == found["source"]
    assert "verified against its signed checkpoint" in html.read_text()


def test_a_token_list(capsys, export, key, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"\n{TOKENS[0, 'phone']}\n{TOKENS[0, 'phone']} \n{TOKENS[3, 'phone']}\n")
    code, out, _ = _run(capsys, "--export", export, "--key", key, "--tokens", tokens, "--json")
    assert 0 == code
    found = json.loads(out)
    assert (2, 1, 3) == (
        found["leak"]["tokens"],
        found["revealed"]["listed_tokens"],
        found["revealed"]["items"],
    )
    assert "exposure" not in out.split('"format"')[0]
    assert TOKENS[0, "phone"] not in out


def test_nothing_revealed_is_done_as_well(capsys, export, key):
    code, out, _ = _run(capsys, "--export", export, "--key", key, "--caller", STRANGER)
    assert 0 == code
    assert "nothing was revealed; 9 entries were looked at" in out


def test_in_words(capsys, export, key):
    code, out, _ = _run(capsys, "--export", export, "--key", key, "--caller", SUPPORT)
    assert 0 == code
    assert "refused meanwhile: 2 values, and 1 calls as a whole" in out
    assert "masked" in out


def test_an_export_that_is_not_sound_gives_no_report(capsys, export, key, tmp_path):
    lines = LOG.export()
    export.write_bytes(b"".join([*lines[:3], *lines[4:]]))
    html = tmp_path / "report.html"
    options = ("--export", export, "--key", key, "--caller", SUPPORT, "--html", html, "--json")
    code, out, err = _run(capsys, *options)
    assert (1, "") == (code, out)
    assert "not sound at index 2 (dropped)" in err.lower()
    assert not html.exists()


def test_a_part_is_taken_only_when_asked_for(capsys, tmp_path, key):
    path = tmp_path / "part.jsonl"
    path.write_bytes(b"".join(LOG.export(2, 5)))
    options = ("--export", path, "--key", key, "--caller", SUPPORT, "--json")
    assert 1 == _run(capsys, *options)[0]
    code, out, _ = _run(capsys, *options, "--part")
    assert 0 == code
    assert (2, 5) == (json.loads(out)["source"]["from"], json.loads(out)["source"]["until"])


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ((), "what has leaked?"),
        (("--since", "2h", "--until", "3h"), "--until is not after --since"),
        (("--caller", "x", "--export", "log"), "--export and --key belong together"),
        (("--caller", "x"), "no address"),
    ],
)
def test_wrong_usage(capsys, monkeypatch, argv, text):
    monkeypatch.delenv("PDVAULT_ADDRESS", raising=False)
    code, out, err = _run(capsys, *argv)
    assert (2, "") == (code, out)
    assert text in err


@pytest.mark.parametrize("content", ["", "13812345678\n", f"{TOKENS[0, 'phone']}\nx\ny\n"])
def test_a_list_that_holds_something_else_is_refused_without_repeating_it(
    capsys, export, key, tmp_path, content
):
    tokens = tmp_path / "tokens"
    tokens.write_text(content)
    code, out, err = _run(capsys, "--export", export, "--key", key, "--tokens", tokens)
    assert (2, "") == (code, out)
    assert "not one token a line" in err
    assert "13812345678" not in err
