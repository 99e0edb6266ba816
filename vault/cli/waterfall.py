"""A span tree as a waterfall: what hung on what, when it began and how long it took. Pure."""

from collections.abc import Iterator, Sequence

from vault.cli.output import printable
from vault.telemetry.span_file import SpanNode

_BAR = 40


def waterfall(roots: Sequence[SpanNode]) -> list[str]:
    """A line per span: name, duration in ms, and its place in the whole.

    A trip that the call shared with others stands in brackets with a `~`: it
    may have begun before the call.
    """
    rows = [row for root in roots for row in _rows(root, 0)]
    if not rows:
        return []
    own = [node.span for _, node in rows if not node.linked]
    began = min(span.start_ns for span in own)
    whole = max(1, max(span.end_ns for span in own) - began)
    width = max(len(label) for label, _ in rows)
    lines = []
    for label, node in rows:
        start = _column(node.span.start_ns - began, whole)
        end = max(start + 1, _column(node.span.end_ns - began, whole))
        bar = " " * start + ("~" if node.linked else "█") * (end - start)
        took = (node.span.end_ns - node.span.start_ns) / 1e6
        error = "  failed" if node.span.error else ""
        lines.append(f"{label:<{width}}  {took:9.3f} ms  |{bar:<{_BAR}}|{error}")
    return lines


def _rows(node: SpanNode, depth: int) -> Iterator[tuple[str, SpanNode]]:
    name = printable(node.span.name)
    yield "  " * depth + (f"[{name}]" if node.linked else name), node
    for child in node.children:
        yield from _rows(child, depth + 1)


def _column(offset_ns: int, whole_ns: int) -> int:
    return min(_BAR - 1, max(0, offset_ns * _BAR // whole_ns))
