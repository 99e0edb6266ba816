"""Results as tables for a person. What is in a cell is shown, never interpreted."""

import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vault.cli.output import printable, wants_colour

_PIPE_WIDTH = 240
"""Columns where nobody looks: lines are not cut for a machine that reads them."""


def console() -> Console:
    """stdout, by the rules of `output`."""
    is_terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout,
        force_terminal=is_terminal,
        no_color=not wants_colour(sys.stdout),
        width=None if is_terminal else _PIPE_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
    )


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows below bold headings."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell(text) for text in row))
    console().print(table)


def show_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Names and values, one a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, cell(value))
    console().print(table)


def cell(text: str) -> Text:
    """Text that is neither mark-up nor a terminal's command; words of verdict in colour."""
    style = {"ALLOWED": "green", "REFUSED": "yellow", "INVALID": "yellow", "FAILED": "red"}
    return Text("\n".join(map(printable, text.split("\n"))), style=style.get(text, ""))
