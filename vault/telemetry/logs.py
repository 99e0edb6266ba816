"""Structured log lines that can't hold a value.

Guarantees: a line of ours is a fixed event name and fields from an allow-list; an
exception is its class and frames, never its message, because messages of drivers quote
what they choked on; a line of another library is its logger's name, a marker and the exception's
class. The same holds for what the interpreter itself would print (uncaught
exceptions in threads and at exit). Leaves to others: what gRPC's C core writes.
"""

import datetime as dt
import json
import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, LiteralString, Self, TextIO

from vault.telemetry import names
from vault.telemetry.kinds import NO_WORDS, Value, Vocabulary
from vault.telemetry.trace import current_call

FOREIGN_EVENT: Final = "foreign.message"
UNCAUGHT_EVENT: Final = "exception.uncaught"
FORMATS: Final = frozenset({"json", "pretty"})
LEVELS: Final = frozenset({"debug", "info", "warning", "error"})
_OURS: Final = "pdvault_fields"  # the attribute that marks a record as ours
_MAX_FRAMES: Final = 20
_MAX_CHAIN: Final = 4
_COLOURS: Final = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1"}


class Log:
    """Writes log lines of one module: `log.info("bundle.loaded", count=3)`.

    The first argument is the event, a fixed text; fields are keys of `names.LOG_FIELDS`.
    `error=` takes an exception. Call id and trace id come with the current call.
    """

    def __init__(self, module: str) -> None:
        self._logger = logging.getLogger(module)

    def debug(
        self, event: LiteralString, *, error: BaseException | None = None, **fields: Value
    ) -> None:
        self._write(logging.DEBUG, event, error, fields)

    def info(
        self, event: LiteralString, *, error: BaseException | None = None, **fields: Value
    ) -> None:
        self._write(logging.INFO, event, error, fields)

    def warning(
        self, event: LiteralString, *, error: BaseException | None = None, **fields: Value
    ) -> None:
        self._write(logging.WARNING, event, error, fields)

    def error(
        self, event: LiteralString, *, error: BaseException | None = None, **fields: Value
    ) -> None:
        self._write(logging.ERROR, event, error, fields)

    def failure(self, event: LiteralString, error: BaseException, **fields: Value) -> None:
        """An error with the exception that shows where."""
        self._write(logging.ERROR, event, error, fields)

    def _write(
        self, level: int, event: str, error: BaseException | None, fields: dict[str, Value]
    ) -> None:
        if self._logger.isEnabledFor(level):
            # As an argument, so that another handler would not merge it into a text either.
            self._logger.log(level, event, extra={_OURS: fields}, exc_info=error)


class SafeFormatter(logging.Formatter):
    """One line per record, with nothing in it that is not on the allow-list.

    Args:
        words: gives the words of the policy bundle in force.
        pretty: for a terminal, with colours.
    """

    def __init__(self, *, words: Callable[[], Vocabulary], pretty: bool = False) -> None:
        super().__init__()
        self._words = words
        self._pretty = pretty
        self.refused = 0
        """Fields that the allow-list stopped."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": _time(record.created),
            "level": record.levelname.lower(),
        }
        fields = getattr(record, _OURS, None)
        if fields is None:
            line |= {"event": FOREIGN_EVENT, "logger": record.name}
        else:
            line["event"] = record.msg
            self._judge(fields, line)
        call = current_call.get()
        if call is not None:
            line["trace_id"] = call.trace_id.hex()
            if call.call_id:
                line["call_id"] = call.call_id
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = describe_exception(record.exc_info[1])
        return _pretty(line) if self._pretty else json.dumps(line, separators=(",", ":"))

    def _judge(self, fields: dict[str, Value], line: dict[str, Any]) -> None:
        words = self._words()
        stopped = 0
        for key, value in fields.items():
            kind = names.LOG_FIELDS.get(key)
            if kind is not None and kind.admits(value, words):
                line[key] = value
            else:
                stopped += 1
        if stopped:
            self.refused += stopped
            line["fields_dropped"] = stopped


class _SafeHandler(logging.StreamHandler[TextIO]):
    """Writes to a stream; a stream that is gone is nobody's business."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base's name
        """Drops the line: the default prints the record's arguments."""


class Logging:
    """The process's log, from construction to `close`.

    Takes over the root logger, warnings and the hooks for uncaught exceptions, and puts
    back what was there. Loggers of other libraries are cut to warnings.

    Raises (from the constructor):
        ValueError: an unknown level or format.
    """

    def __init__(
        self,
        *,
        level: str = "info",
        form: str = "json",
        words: Callable[[], Vocabulary] = lambda: NO_WORDS,
        stream: TextIO | None = None,
    ) -> None:
        if level not in LEVELS or form not in FORMATS:
            raise ValueError(f"log level: {sorted(LEVELS)}; log format: {sorted(FORMATS)}")
        self.formatter = SafeFormatter(words=words, pretty=form == "pretty")
        handler = _SafeHandler(stream if stream is not None else sys.stderr)
        handler.setFormatter(self.formatter)
        handler.addFilter(_is_wanted)
        root = logging.getLogger()
        ours = logging.getLogger("vault")
        self._before = (root.handlers[:], root.level, ours.level)
        self._hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook)
        root.handlers[:] = [handler]
        root.setLevel(logging.WARNING)
        ours.setLevel(level.upper())
        logging.captureWarnings(capture=True)
        sys.excepthook = _on_uncaught
        threading.excepthook = _on_thread
        sys.unraisablehook = _on_unraisable

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Puts back what was there before."""
        root = logging.getLogger()
        handlers, level, ours = self._before
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("vault").setLevel(ours)
        logging.captureWarnings(capture=False)
        sys.excepthook, threading.excepthook, sys.unraisablehook = self._hooks


def describe_exception(error: BaseException) -> list[dict[str, Any]]:
    """An exception and what caused it: classes and frames, never a message.

    Returns:
        The outermost first, at most 4: {"class": …, "frames": ["file:line function", …]},
        frames from the innermost, at most 20.
    """
    chain: list[dict[str, Any]] = []
    at: BaseException | None = error
    while at is not None and len(chain) < _MAX_CHAIN:
        one: dict[str, Any] = {"class": _class(at), "frames": _frames(at.__traceback__)}
        if isinstance(at, BaseExceptionGroup):
            one["of"] = sorted({_class(part) for part in at.exceptions})
        chain.append(one)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return chain


def _class(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _frames(frames: TracebackType | None) -> list[str]:
    found: list[str] = []
    while frames is not None:
        code = frames.tb_frame.f_code
        found.append(f"{_short(code.co_filename)}:{frames.tb_lineno} {code.co_name}")
        frames = frames.tb_next
    return found[::-1][:_MAX_FRAMES]


def _short(file: str) -> str:
    """The last two parts of a path: enough to find the file, nothing of the machine."""
    return "/".join(file.split("/")[-2:])


def _is_wanted(record: logging.LogRecord) -> bool:
    return hasattr(record, _OURS) or record.levelno >= logging.WARNING


def _time(created: float) -> str:
    moment = dt.datetime.fromtimestamp(created, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _pretty(line: dict[str, Any]) -> str:
    level = line["level"].upper()
    rest = {k: v for k, v in line.items() if k not in ("ts", "level", "event", "exception")}
    text = " ".join(f"{key}={value}" for key, value in rest.items())
    head = f"{line['ts'][11:23]} \x1b[{_COLOURS.get(level, '0')}m{level:<7}\x1b[0m {line['event']}"
    lines = [f"{head}  {text}".rstrip()]
    for one in line.get("exception", ()):
        lines.append(f"    {one['class']}")
        lines += [f"      at {frame}" for frame in one["frames"]]
    return "\n".join(lines)


_log = Log("vault.telemetry")


def _on_uncaught(
    kind: type[BaseException], error: BaseException, frames: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        _log.error(UNCAUGHT_EVENT, error=error.with_traceback(frames))


def _on_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _log.error(UNCAUGHT_EVENT, error=args.exc_value)


def _on_unraisable(args: "sys.UnraisableHookArgs") -> None:
    if args.exc_value is not None:
        _log.error(UNCAUGHT_EVENT, error=args.exc_value)
