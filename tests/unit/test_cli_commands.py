"""What commands do that need no running vault, and how they fail."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest

from vault.app.checks import UnsafeError
from vault.cli import values
from vault.cli.faults import describe
from vault.cli.main import main
from vault.cli.output import printable
from vault.cli.state_policies import state_policies
from vault.cli.waterfall import waterfall
from vault.config import ConfigError
from vault.embedded import EmbeddedError
from vault.errors import Reason, VaultError, Violation
from vault.policy import BundleError
from vault.telemetry.span_file import SpanNode, StoredSpan, gaps

_POLICIES = Path(__file__).parents[2] / "policies"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("ADDRESS", "CLIENT", "SPANS"):
        monkeypatch.delenv(f"PDVAULT_{name}", raising=False)


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped policies."""
    return Path(shutil.copytree(_POLICIES, tmp_path / "policies"))


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """The working directory, with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sound_bundle(capsys):
    assert 0 == main(["policy", "check", str(_POLICIES), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["sound"]
    assert 64 == len(found["digest"])


def test_a_broken_bundle_is_named_with_file_and_line(capsys, folder):
    text = (folder / "purposes.yaml").read_text() + "broken: yes\n"
    (folder / "purposes.yaml").write_text(text)
    lines = text.count("\n")
    assert 1 == main(["policy", "check", str(folder)])
    out, err = capsys.readouterr()
    assert "" == out
    assert f"  purposes.yaml:{lines}: " in err

    assert 1 == main(["policy", "test", str(folder), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert not found["sound"]
    assert f"purposes.yaml:{lines}" == found["faults"][0]["at"]


def test_a_broken_issuer_is_a_fault_of_the_bundle(capsys, folder):
    """The service would refuse it, so check does as well."""
    (folder / "issuers.yaml").write_text("issuers:\n  - {issuer: 7}\n")
    assert 1 == main(["policy", "check", str(folder)])
    assert "issuers.yaml" in capsys.readouterr().err


def test_a_folder_that_is_not_there(capsys, tmp_path):
    assert 1 == main(["policy", "check", str(tmp_path / "nowhere")])
    assert capsys.readouterr().err.startswith("pdvault: error: the policy bundle is refused")


def test_the_shipped_tables_hold(capsys):
    assert 0 == main(["policy", "test", str(_POLICIES)])
    assert capsys.readouterr().out.endswith(" 0 failed\n")


def test_a_failing_row_is_named_with_what_was_expected_and_what_came(capsys, folder):
    for path in (folder / "tests").iterdir():
        path.unlink()
    (folder / "tests" / "one.yaml").write_text(
        "table: A table.\ntenant: demo-shop\nrows:\n"
        "  - {role: shipping, purpose: delivery, field_type: phone, expect: masked}\n"
    )
    assert 1 == main(["policy", "test", str(folder)])
    out, err = capsys.readouterr()
    assert out.startswith("tests/one.yaml:4: ")
    assert "expected masked, got full by reveal-full" in out
    assert "1 failed" in err

    assert 1 == main(["policy", "test", str(folder), "--json"])
    row, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert ("tests/one.yaml:4", "masked", "full", ["reveal-full"]) == (
        row["at"],
        row["expected"],
        row["got"],
        row["policies"],
    )
    assert {"tables": 1, "cases": 1, "failed": 1} == summary


def test_no_tables_is_not_success(capsys, folder):
    shutil.rmtree(folder / "tests")
    assert 1 == main(["policy", "test", str(folder)])
    assert "nothing was tested" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["health"], 2, "no address"),
        (["health", "--address", "127.0.0.1:1"], 2, "no client certificate"),
        (["health", "--address", "127.0.0.1:1", "--client", "nowhere"], 1, "nowhere/tls.crt"),
        (["tokenize", "phone=1"], 2, "no consumer"),
        (["tokenize", "--subject-ref", "m", "phone=1", "phone=2"], 2, "given twice"),
        (["audit", "show", "no-hex"], 2, "32 hex digits"),
        (["serve", "--config", "nowhere.toml"], 1, "no such file"),
        (["migrate", "--owner-url-file", "nowhere"], 1, "nowhere: no such file"),
        (["up", "--state", "state", "--policies", "nowhere"], 1, "no such folder"),
    ],
)
def test_expected_failures_are_one_sentence_and_no_traceback(capsys, empty, argv, code, text):
    assert code == main(argv)
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith("pdvault: error: ")
    assert text in err
    assert "Traceback" not in err
    assert [] == list(empty.iterdir())


@pytest.mark.parametrize("content", ["", "\n", "a\nb\n", "\udcff"], ids=ascii)
def test_a_subject_reference_from_a_file_is_one_line(capsys, tmp_path, content):
    path = tmp_path / "ref"
    path.write_bytes(content.encode(errors="surrogateescape"))
    assert 2 == main(["tokenize", "--subject-ref-file", str(path), "phone=1"])
    assert "one line of text" in capsys.readouterr().err


def test_a_url_file_that_others_can_read_is_refused_without_its_content(capsys, tmp_path):
    path = tmp_path / "owner.url"
    path.write_text("postgresql://owner:sesame@127.0.0.1/pdvault")
    path.chmod(0o644)
    assert 1 == main(["migrate", "--owner-url-file", str(path)])
    err = capsys.readouterr().err
    assert "open to group or others" in err
    assert "sesame" not in err


@pytest.mark.parametrize(
    ("error", "text", "details", "has_hint"),
    [
        (
            BundleError([Violation("a.cedar:3", "no @id"), Violation("b.yaml:1", "empty")]),
            "the policy bundle is refused: 2 faults",
            ("a.cedar:3: no @id", "b.yaml:1: empty"),
            False,
        ),
        (
            ConfigError(Path("p.toml"), [Violation("server.port", "is missing")]),
            "p.toml: refused, 1 fault(s)",
            ("server.port: is missing",),
            True,
        ),
        (
            UnsafeError(["fsync is off"]),
            "refused to start: the database is unsafe",
            ("fsync is off",),
            False,
        ),
        (EmbeddedError("state is in use by process 7"), "state is in use by process 7", (), True),
        (
            VaultError(Reason.DATABASE_UNAVAILABLE, "the database does not answer"),
            "DATABASE_UNAVAILABLE: the database does not answer",
            (),
            True,
        ),
        (PermissionError(13, "Permission denied", "x"), "x: Permission denied", (), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_kind_of_failure_has_its_words(error, text, details, has_hint):
    found = describe(error)
    assert (text, details, has_hint, 1) == (
        found.text,
        found.details,
        bool(found.hint),
        found.code,
    )


def test_what_nobody_foresaw_is_a_class_and_a_place_only():
    try:
        int("13812345678x")
    except ValueError as error:
        found = describe(error)
    assert found.text.startswith("unexpected builtins.ValueError at unit/test_cli_commands.py:")
    assert "138" not in found.text.partition(" at ")[0]
    assert "report" in found.hint


def test_times():
    assert dt.datetime(2026, 11, 21, 8, 30, tzinfo=dt.UTC) == values.moment("2026-11-21T08:30:00Z")
    assert values.moment("2026-11-21").tzinfo is not None
    given = values.moment("2h")
    ago = dt.datetime.now(dt.UTC) - given
    assert dt.timedelta(hours=2) <= ago < dt.timedelta(hours=2, seconds=5)


def test_printable_steers_no_terminal():
    assert "张\ufffd[31m\ufffd" == printable("张\x1b[31m\u202e")


def test_the_shipped_policies_are_copied_once(tmp_path):
    """Whole, closed to others, and never over the user's own."""
    (tmp_path / "policies.new").mkdir()
    (tmp_path / "policies.new" / "half").touch()
    folder = state_policies(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["policies"]
    shipped = {path.relative_to(_POLICIES) for path in _POLICIES.rglob("*")}
    assert shipped == {path.relative_to(folder) for path in folder.rglob("*")}
    for path in (folder, *folder.rglob("*")):
        assert (0o700 if path.is_dir() else 0o600) == path.stat().st_mode & 0o777

    (folder / "purposes.yaml").write_text("mine")
    assert "mine" == (state_policies(tmp_path) / "purposes.yaml").read_text()


def _span(name, start_ms, end_ms, *, error=False):
    return StoredSpan(
        "t" * 32, name, None, name, "INTERNAL", start_ms * 10**6, end_ms * 10**6, error, {}, ()
    )


def test_a_waterfall_shows_what_hung_on_what_and_when():
    tree = SpanNode(
        _span("call", 100, 140),
        (
            SpanNode(_span("load", 100, 120), (SpanNode(_span("trip", 90, 120), linked=True),)),
            SpanNode(_span("audit", 120, 140, error=True)),
        ),
    )
    assert [] == waterfall(())
    lines = waterfall((tree,))
    bars = [line.split("|")[1] for line in lines]
    assert ["call", "load", "[trip]", "audit"] == [line.split()[0] for line in lines]
    assert ["40.000", "20.000", "30.000", "20.000"] == [line.split()[1] for line in lines]
    assert "~" * 20 + " " * 20 == bars[2]
    assert " " * 20 == bars[3][:20]
    assert lines[3].endswith("failed")


def test_spans_that_are_missing_are_counted():
    trace, other = "1" * 32, "2" * 32

    def span(span_id, parent=None, *, kind="INTERNAL", links=(), trace_id=trace):
        return StoredSpan(trace_id, span_id, parent, "x", kind, 0, 1, False, {}, links)

    call = span("call", "callers-own", kind="SERVER")
    stage = span("stage", "call", links=((other, "trip"),))
    trip = span("trip", kind="CLIENT", trace_id=other, links=((trace, "stage"), (other, "else")))
    own_trip = span("own", "stage", kind="CLIENT")

    assert [] == gaps([call, stage, trip, own_trip], trace, ["call"])
    assert ["1 shared round trip"] == gaps([call, stage, own_trip], trace, ["call"])
    assert ["1 call"] == gaps([stage, trip, own_trip], trace, ["call"])
    assert ["1 span that others hang on"] == gaps([call, trip, own_trip], trace, ["call"])
    assert ["2 calls", "1 shared round trip"] == gaps([call, stage], trace, ["call", "b", "c"])
