"""Help, usage errors and docs/cli.md: what a person reads before anything runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from vault.cli.commands import COMMANDS
from vault.cli.main import main
from vault.cli.reference import reference

_ROOT = Path(__file__).parents[2]


def _exit(capsys, *argv):
    with pytest.raises(SystemExit) as end:
        main(argv)
    out, err = capsys.readouterr()
    return end.value.code, out, err


def test_the_top_page_names_every_command_and_the_exit_codes(capsys):
    code, out, err = _exit(capsys, "--help")
    assert (0, "") == (code, err)
    for command in COMMANDS:
        assert f"  {command.name} " in out
        assert command.summary in out
    assert "Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 130 interrupted." in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_with_its_options_and_an_example(capsys, command):
    code, out, err = _exit(capsys, *command.words, "--help")
    assert (0, "") == (code, err)
    for option in command.options:
        assert option.flags[0] in out.lower()
    for line in command.example.splitlines():
        assert line in out
        assert f"pdvault {command.name}" in command.example


@pytest.mark.parametrize("family", ["audit", "policy"])
def test_a_family_lists_its_commands(capsys, family):
    code, out, _ = _exit(capsys, family, "--help")
    assert 0 == code
    assert all(f"{each.name} " in out for each in COMMANDS if each.words[0] == family)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ((), "COMMAND"),
        (("audit",), "COMMAND"),
        (("no-such-command",), "invalid choice"),
        (("serve",), "--config"),
        (("serve", "--config"), "expected one argument"),
        (("up", "--port", "0"), "a whole number from 1 to 65535"),
        (("up", "--port", "65536"), "a whole number from 1 to 65535"),
        (("up", "--por", "7000"), "not understood: --por"),
        (("audit", "list", "--verdict", "maybe"), "--verdict"),
        (("audit", "list", "--since", "yesterday"), "a time is like"),
        (("audit", "list", "--limit", "-1"), "--limit"),
        (("audit", "list", "--subject-ref", "m", "--subject-id", "0"), "not allowed with"),
        (("detokenize", "TOKEN"), "--purpose"),
        (("migrate",), "--owner-url-file"),
    ],
)
def test_wrong_usage_is_2_and_says_what(capsys, argv, text):
    code, out, err = _exit(capsys, *argv)
    assert (2, "") == (code, out)
    first, hint = err.splitlines()
    assert first.startswith("pdvault: error: ")
    assert text in first
    assert hint.startswith("hint: pdvault")
    assert hint.endswith("--help")


@pytest.mark.parametrize(
    "argv",
    [
        ("tokenize", "--subject-ref", "m-1", "13812345678"),
        ("tokenize", "--subject-ref", "m-1", "phone=1", "--oops=13812345678"),
        ("tokenize", "--subject-ref", "m-1", "=13812345678"),
        ("policy", "check", "policies", "13812345678"),
        ("audit", "list", "--since", "13812345678"),
        ("audit", "list", "--limit", "13812345678"),
    ],
)
def test_a_usage_error_does_not_repeat_what_may_be_a_value(capsys, argv):
    code, out, err = _exit(capsys, *argv)
    assert 2 == code
    assert "13812345678" not in out + err


def test_help_imports_nothing_heavy():
    """So that it is there at once."""
    script = (
        "import contextlib, sys\n"
        "from vault.cli.main import main\n"
        "with contextlib.suppress(SystemExit): main(['audit', 'list', '--help'])\n"
        "sys.exit(bool({'grpc', 'rich', 'asyncpg', 'cedarpy', 'cryptography'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=_ROOT, check=False, stdout=subprocess.DEVNULL
    )
    assert 0 == done.returncode


def test_the_reference_is_current():
    """Mend with: python -m vault.cli.reference > docs/cli.md"""
    assert (_ROOT / "docs" / "cli.md").read_text() == reference(COMMANDS)


def test_python_m_vault_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "vault", "--version"],
        cwd=_ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("pdvault ")
