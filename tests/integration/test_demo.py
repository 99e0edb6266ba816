"""The demo as a newcomer starts it: its facts, its exit code, and that it leaves nothing behind."""

import os
import re
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest

PDVAULT = Path(sysconfig.get_path("scripts")) / "pdvault"
FACTS = (
    "All persons are invented",
    "300 orders of 220 consumers: 1,657 tokens",
    "A retry gets the same tokens",
    "6 bad cells are named",
    "not a phone number",
    "✗ FIELD_NOT_IN_PURPOSE",
    "138****8496  masked",
    "江苏省南京市  coarse",
    "✗ PURPOSE_NOT_PERMITTED",
    "✗ CONSENT_MISSING",
    "refused in TLS  a foreign CA",
    "refused in TLS  self-signed",
    "vault:v1:",
    "found 0 times",
    "forbid-without-consent",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "postgres.commit",
    "✗ KEY_STORE_SEALED",
    "Everything went as told",
    "pdvault up ",
)


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """The demo in a session of its own, without a terminal; its folders come into `tmp_path`."""
    return subprocess.Popen(
        [PDVAULT, "demo", *arguments],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def still_here(tmp_path: Path) -> list[str]:
    """Command lines and working directories of processes that have to do with this demo."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_text(errors="replace")
            told += str((process / "cwd").readlink())
        except OSError:  # ended meanwhile, or not ours
            continue
        if str(tmp_path) in told:
            found.append(told)
    return found


def test_goes_as_told_and_leaves_nothing(tmp_path):
    demo = start(tmp_path)

    said, _ = demo.communicate(timeout=120)

    assert demo.returncode == 0, said
    assert [] == [fact for fact in FACTS if fact not in said]
    assert [] == [line for line in said.splitlines() if len(line) > 100]
    assert "\x1b" not in said
    assert not re.search(r"/(tmp|home|root|work)/", said)
    assert [] == still_here(tmp_path)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("until", "number"),
    [("One order", signal.SIGINT), (" 2  One parcel", signal.SIGINT), (" 4 ", signal.SIGTERM)],
)
def test_leaves_nothing_when_it_is_ended(tmp_path, until, number):
    """Ctrl-C goes to all processes of the terminal, SIGTERM to the demo alone."""
    demo = start(tmp_path)
    assert demo.stdout is not None
    assert any(until in line for line in demo.stdout)
    time.sleep(0.3)

    if number == signal.SIGINT:
        os.killpg(demo.pid, number)
    else:
        demo.send_signal(number)
    said, _ = demo.communicate(timeout=60)

    assert demo.returncode == 130, said
    assert "Traceback" not in said
    assert [] == still_here(tmp_path)
    assert [] == list(tmp_path.iterdir())


def test_refuses_a_folder_with_something_in_it(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "letter").write_text("mine")

    demo = start(tmp_path, "--keep", str(tmp_path / "kept"))
    said, _ = demo.communicate(timeout=30)

    assert demo.returncode == 2
    assert "not an empty folder" in said
    assert ["letter"] == [path.name for path in (tmp_path / "kept").iterdir()]
