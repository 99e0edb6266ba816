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


class Page(Console):
    """A console that knows whether tables and titles get lines."""

    has_lines = True


def make_page(*, plain: bool, record: bool = False) -> Page:
    """A page of at most `WIDTH` columns, and of just that where there is no terminal."""
    if sys.stdout.encoding.lower().replace("-", "") != "utf8" and hasattr(
        sys.stdout, "reconfigure"
    ):
        sys.stdout.reconfigure(errors="replace")
    page = Page(
        no_color=True if plain else None,
        color_system="truecolor" if record else "auto",
        force_terminal=True if record else (False if plain else None),
        record=record,
        highlight=False,
        soft_wrap=False,
        file=open(os.devnull, "w", encoding="utf-8") if record else None,  # noqa: PTH123, SIM115  to the end
    )
    page.width = WIDTH if record or not page.is_terminal else min(WIDTH, page.width)
    page.has_lines = not plain
    return page


def scene(console: Page, number: int, title: str, sentence: str) -> None:
    """Opens an act."""
    head = Text(f" {number}  {title} ", LEAD)
    console.print()
    console.print(Rule(head, align="left", style=FAINT) if console.has_lines else head)
    console.print(Padding(Text(sentence), (0, 0, 0, 2), expand=False))


def show(console: Page, thing: RenderableType) -> None:
    """Prints one thing, set in a little."""
    if isinstance(thing, Table) and not console.has_lines:
        thing.box, thing.padding = None, (0, 2, 0, 0)
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


def cut(text: str, style: str = "") -> Text:
    """A long text that is shortened rather than folded where the terminal is narrow."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")


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
