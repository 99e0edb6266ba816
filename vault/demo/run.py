"""`pdvault demo`: one order, end to end, on real servers and with separate client processes.

Guarantees: every act is compared with what is told, and the demo fails with the act's name where
one differs; nothing is left running and no folder is left over, after Ctrl-C too.
"""

import argparse
import contextlib
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from rich.table import Table
from rich.text import Text

from vault.demo import callers, keepers
from vault.demo.cast import Cast
from vault.demo.house import PDVAULT, DemoError, House
from vault.demo.show import Page, faint, make_page, show
from vault.embedded.state import EmbeddedError

_INTERRUPTED = 130  # 128 + SIGINT, as shells say it
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(*, keep: Path | None = None, plain: bool = False) -> int:
    """Plays the demo.

    Args:
        keep: where to leave the state, an empty or new folder; None removes it.
        plain: no colours.

    Returns:
        The exit code: 0 when everything went as told.
    """
    return play(make_page(plain=plain), keep=keep)


def play(console: Page, *, keep: Path | None = None) -> int:
    """As `main`, on a console."""
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        console.print(f"[red]✗[/] {keep} is not an empty folder", soft_wrap=True)
        return 2
    scratch = Path(tempfile.mkdtemp(prefix="pdvault-demo-"))
    house = House(keep.absolute() if keep is not None else scratch / "state", scratch)
    story = _Story(console, house, scratch)
    code = 1
    try:
        with _signals_interrupt():
            story.play()
        code = 0
    except KeyboardInterrupt:
        code = _INTERRUPTED
        console.print("\nstopping …")
    except Exception as error:  # noqa: BLE001  whatever it is, it is not what was told
        kind = "" if isinstance(error, (DemoError, EmbeddedError)) else f"{type(error).__name__}: "
        console.print(f"\n[bold red]✗ {story.act} did not go as told:[/]")
        console.print(Text(kind + _without(str(error), scratch)), soft_wrap=True)
    finally:
        # A second Ctrl-C must not leave servers behind.
        with _handled(signal.SIG_IGN):
            left = story.close()
            shutil.rmtree(scratch, ignore_errors=True)
    if left:
        console.print(f"[red]✗[/] still running: {', '.join(map(str, left))}")
        return 1
    if scratch.exists():
        console.print(f"[red]✗[/] could not remove {scratch.name}")
        return 1
    if code == 0:
        _farewell(console, keep, story.seconds)
    return code


class _Story:
    """The acts in order, and what has to be cleaned up after them."""

    def __init__(self, console: Page, house: House, scratch: Path) -> None:
        self.act = "the start"
        self.seconds = 0.0
        self._console = console
        self._house = house
        self._scratch = scratch
        self._cast: Cast | None = None

    def play(self) -> None:
        console, house = self._console, self._house
        began = time.monotonic()
        console.print(
            "[bold]One order, end to end.[/] All persons are invented; servers, keys, "
            "certificates and processes are real."
        )
        with console.status("starting PostgreSQL, OpenBao and the vault"):
            at = house.start()
        self._cast = cast = Cast(at)
        console.print(
            f"[green]✓[/] PostgreSQL, OpenBao and the vault are up in "
            f"{time.monotonic() - began:.1f} s. Each caller is a process of its own."
        )
        self.act = "act 1"
        shop = callers.tokens_in(console, cast)
        self.act = "act 2"
        callers.delivery(console, cast, shop)
        self.act = "act 3"
        callers.others(console, cast, shop, self._scratch, at.certs)
        self.act = "act 4"
        keepers.theft(console, cast, shop, house)
        self.act = "act 5"
        keepers.audit(console, cast, shop, at)
        self.act = "act 6"
        keepers.seal(console, cast, shop, house, at)
        self.seconds = time.monotonic() - began

    def close(self) -> list[int]:
        """End everything. The process ids that are still there."""
        if self._cast is not None:
            self._cast.close()
        return self._house.stop()


def _farewell(console: Page, keep: Path | None, seconds: float) -> None:
    program = "pdvault"
    with contextlib.suppress(ValueError):  # not below here: then it is on the path
        program = str(PDVAULT.relative_to(Path.cwd()))
    console.print()
    console.print(
        f"[green]✓[/] Everything went as told, in {seconds:.0f} s. Nothing is left running"
        + (f"; the state is in {keep}." if keep else " and nothing on disk.")
        + " Next:"
    )
    up = f"up --state {shlex.quote(str(keep))}" if keep else "up"
    commands = (
        (up, "the same, to stay; says where certificates lie"),
        ("policy test policies", "who may see what, as tables that are checked"),
        ("--help", "everything else"),
    )
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    for command, why in commands:
        grid.add_row(Text(f"{program} {command}", "bold"), faint(why))
    show(console, grid)


def _without(text: str, scratch: Path) -> str:
    """The folder is gone when somebody reads this."""
    return text.replace(f"{scratch}/", "")


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled(interrupt):
        yield


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _picture(path: Path) -> int:
    """Plays the demo into an SVG file, for the README."""
    console = make_page(plain=False, record=True)
    code = play(console)
    # Without the web font: a picture in a page loads nothing from elsewhere anyway.
    picture = console.export_svg(title="make demo", unique_id="pdvault")
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    path.write_text(picture.replace("Fira Code,", "ui-monospace, Menlo, Consolas,"), "utf-8")
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Plays the demo.")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="into a picture")
    asked = parser.parse_args()
    sys.exit(main() if asked.svg is None else _picture(asked.svg))
