"""How the demo looks: a rule per act, one sentence, one small table. No I/O but the console's."""

import os
import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from vault.telemetry.span_file import SpanNode

WIDTH = 100
YES, NO, LEAD, FAINT = "green", "red", "bold cyan", "bright_black"
_BAR = 42


def make_console(*, plain: bool, record: bool = False) -> Console:
    """A console of at most `WIDTH` columns, and of just that where there is no terminal."""
    if sys.stdout.encoding.lower().replace("-", "") != "utf8" and hasattr(
        sys.stdout, "reconfigure"
    ):
        sys.stdout.reconfigure(errors="replace")
    console = Console(
        no_color=True if plain else None,
        color_system="truecolor" if record else "auto",
        force_terminal=True if record else (False if plain else None),
        record=record,
        highlight=False,
        soft_wrap=False,
        file=open(os.devnull, "w", encoding="utf-8") if record else None,  # noqa: PTH123, SIM115
    )
    console.width = WIDTH if record or not console.is_terminal else min(WIDTH, console.width)
    return console


def scene(console: Console, number: int, title: str, sentence: str) -> None:
    """Opens an act."""
    console.print()
    console.print(Rule(Text(f" {number}  {title} ", LEAD), align="left", style=FAINT))
    console.print(Padding(Text(sentence), (0, 0, 0, 2), expand=False))


def show(console: Console, thing: RenderableType) -> None:
    console.print(Padding(thing, (0, 0, 0, 2), expand=False))


def table(heads: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table without lines but the one below its head; cells may be styled texts."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, border_style=FAINT)
    made.padding = (0, 1, 0, 0)
    made.header_style = FAINT
    for head in heads:
        made.add_column(head, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def yes(text: str, more: str = "") -> Text:
    return Text.assemble((text, YES), (f"  {more}" if more else "", FAINT))


def no(reason: str, more: str = "") -> Text:
    return Text.assemble(("✗ ", NO), (reason, NO), (f"  {more}" if more else "", FAINT))


def faint(text: str) -> Text:
    return Text(text, FAINT)


def waterfall(roots: Sequence[SpanNode]) -> Table:
    """A span tree: names to the left, when each ran in the middle, how long to the right."""
    rows = [row for root in roots for row in _flat(root, 0)]
    start = min(node.span.start_ns for _, node in rows)
    whole = max(1, max(node.span.end_ns for _, node in rows) - start)
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True)
    made.add_column(justify="right", no_wrap=True)
    for depth, node in rows:
        span = node.span
        before = (span.start_ns - start) * _BAR // whole
        length = max(1, round((span.end_ns - span.start_ns) * _BAR / whole))
        style = "cyan" if depth == 0 else ("magenta" if "." in span.name else "blue")
        made.add_row(
            Text("  " * depth + span.name.removeprefix("vault.v1.")),
            Text(" " * min(before, _BAR - 1) + "━" * length, style),
            Text(f"{(span.end_ns - span.start_ns) / 1e6:.2f} ms", FAINT),
        )
    return made


def _flat(node: SpanNode, depth: int) -> Iterable[tuple[int, SpanNode]]:
    yield depth, node
    for child in node.children:
        yield from _flat(child, depth + 1)
