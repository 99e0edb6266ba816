"""Spans as JSON lines in one file, for `pdvault audit show` and the demo.

Guarantees: mode 0600, at most about twice `max_bytes` on disk (the file and the one before it),
and a torn or foreign line never stops a reader. Several processes may write (the workers of one
supervisor, an old one that drains beside its successor): each takes the file's lock (flock) for a
batch, from its exporter's thread. Readers need no lock. Not evidence: the audit log is.

A line: {"trace_id", "span_id", "parent_id", "name", "kind", "start_ns", "end_ns",
"error", "attributes", "links": [[trace_id, span_id], …]}; ids in hex, parent_id null for
a span whose parent is not ours to know, times in Unix nanoseconds. A call has one line with all its
stages: "stages": [[name, start_ns, links], …]; each ends where the next begins, the last with the
call, and has the span id that `trace.stage_span_id` counts on from the call's.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vault.telemetry import names
from vault.telemetry.kinds import Value
from vault.telemetry.spans import Judged
from vault.telemetry.trace import CallTrace, served_span_id, stage_span_id

DEFAULT_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """One line. Times are Unix nanoseconds, ids hex."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start_ns: int
    end_ns: int
    error: bool
    attributes: Mapping[str, Value]
    links: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SpanNode:
    """A span and what hangs on it, by time.

    Attributes:
        linked: the span is no child but a trip of another trace that a link leads to.
    """

    span: StoredSpan
    children: tuple["SpanNode", ...] = field(default=())
    linked: bool = False


class SpanFile:
    """Appends spans to a file; a full file becomes `NAME.1`, and the one before it goes.

    Raises (from the constructor):
        OSError: the file can't be opened for writing.
    """

    def __init__(self, path: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._file: int | None = None
        self.dropped: dict[str, int] = {}
        """Spans that did not get to the disk, by cause."""
        self._open()

    def write(self, lines: bytes, spans: int) -> None:
        """Appends lines with so many spans; what can't be written is dropped and counted."""
        try:
            self._write(lines)
        except OSError:
            self.dropped[names.DROP_FILE] = self.dropped.get(names.DROP_FILE, 0) + spans
            self.close()  # opened anew at the next try: the disk may have been exchanged

    def close(self, deadline: float = 0.0) -> None:  # noqa: ARG002 - the sinks' common form
        """Closes the file. `write` would open it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, data: bytes) -> None:
        file, size = self._locked(len(data))
        try:
            # A line that the disk had no room for, ours or another's, must not swallow the next.
            if size and os.pread(file, 1, size - 1) != b"\n":
                data = b"\n" + data
            while data:
                data = data[os.write(file, data) :]
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def _locked(self, more: int) -> tuple[int, int]:
        """The file with its lock taken and room for so many bytes, and its size."""
        while True:
            file = self._open()
            fcntl.flock(file, fcntl.LOCK_EX)
            status = os.fstat(file)
            if self._is_in_place(status):
                if not status.st_size or status.st_size + more <= self._max_bytes:
                    return file, status.st_size
                self._path.replace(_rotated(self._path))
            self.close()  # it is the one before now, whoever made it that; the lock goes with it

    def _is_in_place(self, status: os.stat_result) -> bool:
        try:
            return os.path.samestat(status, self._path.lstat())
        except FileNotFoundError:
            return False

    def _open(self) -> int:
        if self._file is None:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self._path, flags, 0o600)
        return self._file


def read_spans(path: Path, trace_id: str) -> list[StoredSpan]:
    """The spans of one trace, and the trips of other traces that its links lead to.

    Args:
        path: as given to `SpanFile`.
        trace_id: 32 hex digits.

    Returns:
        By start; empty if the trace is not there (any more).

    Raises:
        OSError: the file is there but can't be read.
    """
    found = [span for span in _scan(path, {trace_id}) if span.trace_id == trace_id]
    wanted = {link for span in found for link in span.links}
    if wanted:
        linked = _scan(path, {linked_trace for linked_trace, _ in wanted})
        found += [span for span in linked if (span.trace_id, span.span_id) in wanted]
    return sorted(found, key=lambda span: (span.start_ns, span.span_id))


def span_tree(spans: Iterable[StoredSpan], trace_id: str) -> tuple[SpanNode, ...]:
    """Puts what `read_spans` found in order: the roots of the trace, with all below them."""
    all_spans = list(spans)
    own = [span for span in all_spans if span.trace_id == trace_id]
    ids = {span.span_id for span in own}
    children: dict[str | None, list[StoredSpan]] = {}
    for span in own:
        parent = span.parent_id if span.parent_id in ids else None
        children.setdefault(parent, []).append(span)
    others = {(span.trace_id, span.span_id): span for span in all_spans}

    def grow(span: StoredSpan) -> SpanNode:
        below = [grow(child) for child in children.get(span.span_id, ())]
        below += [
            SpanNode(others[link], linked=True)
            for link in span.links
            if link in others and link[0] != trace_id
        ]
        return SpanNode(span, tuple(sorted(below, key=lambda node: node.span.start_ns)))

    return tuple(grow(span) for span in children.get(None, ()))


def gaps(spans: Iterable[StoredSpan], trace_id: str, calls: Iterable[str]) -> list[str]:
    """What `read_spans` should have found and did not; a phrase for each kind.

    Args:
        spans: as `read_spans` gave them.
        trace_id: 32 hex digits.
        calls: span ids of the calls that the log knows of in this trace, 16 hex digits.
    """
    all_spans = list(spans)
    own = {span.span_id for span in all_spans if span.trace_id == trace_id}
    there = {(span.trace_id, span.span_id) for span in all_spans}
    # A call's parent is the caller's own span, which is not ours to have.
    orphans = {
        span.parent_id
        for span in all_spans
        if span.trace_id == trace_id and span.kind != "SERVER" and span.parent_id is not None
    } - own
    linked = {link for span in all_spans if span.trace_id == trace_id for link in span.links}
    counts = {
        "call": len(set(calls) - own),
        "shared round trip": len(linked - there),
        "span that others hang on": len(orphans - set(calls)),
    }
    return [f"{count} {what}{'s' * (count > 1)}" for what, count in counts.items() if count]


def _scan(path: Path, needles: set[str]) -> Iterator[StoredSpan]:
    for file in (_rotated(path), path):
        try:
            lines = file.open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        with lines:
            for line in lines:
                if any(needle in line for needle in needles):
                    yield from parse_line(line)


def _rotated(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def line_of(judged: Judged) -> bytes:
    """A record as one line."""
    # Names are constants and ids hex, so only the other attributes need an escape, once: json.dumps
    # of the whole takes five times as long.
    record, facts = judged.record, judged.facts
    attributes = facts.text
    for key, value in judged.ids.items():
        if isinstance(value, tuple):
            text = ",".join([f'"{one}"' for one in value])
            attributes += f', "{key}": [{text}]'
        else:
            attributes += f', "{key}": "{value}"'
    if isinstance(record, CallTrace):
        # Marks are on a clock that is never set back; the wall clock is read once.
        shift = record.unix_ns - record.start_ns
        texts: dict[int, str] = {}
        for stage, trace_id, span_id in record.links:
            text = f'["{trace_id.hex()}","{span_id.hex()}"]'
            texts[stage] = f"{texts[stage]},{text}" if stage in texts else text
        stages = ",".join(
            [
                f'["{name}",{mark[1] + shift},[{texts.get(stage, "")}]]'
                for stage, (name, mark) in enumerate(zip(judged.stages, record.marks, strict=True))
            ]
        )
        kind, end, links = "SERVER", record.end_ns + shift, texts.get(-1, "")
        tail = f',"stages":[{stages}]'
    else:
        kind, end, tail = "CLIENT", record.unix_ns + record.end_ns - record.start_ns, ""
        links = ",".join(
            [f'["{link.trace_id.hex()}","{served_span_id(link).hex()}"]' for link in record.links]
        )
    parent = record.parent_span_id
    return (
        f'{{"trace_id":"{record.trace_id.hex()}","span_id":"{record.span_id.hex()}",'
        f'"parent_id":{"null" if parent is None else chr(34) + parent.hex() + chr(34)},'
        f'"name":"{facts.name}","kind":"{kind}","start_ns":{record.unix_ns},"end_ns":{end},'
        f'"error":{"true" if facts.is_error else "false"},'
        f'"attributes":{attributes}}},"links":[{links}]{tail}}}\n'
    ).encode()


def parse_line(line: str) -> list[StoredSpan]:
    """The spans of one line, the outermost first; none if it is torn or foreign."""
    try:
        raw = json.loads(line)
        span = StoredSpan(
            trace_id=str(raw["trace_id"]),
            span_id=str(raw["span_id"]),
            parent_id=None if raw["parent_id"] is None else str(raw["parent_id"]),
            name=str(raw["name"]),
            kind=str(raw["kind"]),
            start_ns=int(raw["start_ns"]),
            end_ns=int(raw["end_ns"]),
            error=bool(raw["error"]),
            attributes={
                str(key): tuple(value) if isinstance(value, list) else value
                for key, value in raw["attributes"].items()
            },
            links=_links(raw["links"]),
        )
        return [span, *_stages(span, raw.get("stages", []))]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return []


def _stages(call: StoredSpan, stages: Sequence[Sequence[Any]]) -> Iterator[StoredSpan]:
    ends = [int(start) for _, start, _ in stages[1:]] + [call.end_ns]
    for index, ((name, start, links), end) in enumerate(zip(stages, ends, strict=False)):
        yield StoredSpan(
            trace_id=call.trace_id,
            span_id=stage_span_id(bytes.fromhex(call.span_id), index).hex(),
            parent_id=call.span_id,
            name=str(name),
            kind="INTERNAL",
            start_ns=int(start),
            end_ns=end,
            error=False,
            attributes={},
            links=_links(links),
        )


def _links(raw: Iterable[Sequence[object]]) -> tuple[tuple[str, str], ...]:
    return tuple((str(trace), str(span)) for trace, span in raw)
