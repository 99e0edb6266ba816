"""Log lines hold events, codes and frames; never a message of somebody else."""

import asyncio
import gc
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from vault.telemetry import names
from vault.telemetry.kinds import Vocabulary
from vault.telemetry.logs import FOREIGN_EVENT, UNCAUGHT_EVENT, Log, Logging, describe_exception
from vault.telemetry.trace import Tracer

CANARY = "canary-13800138000"
log = Log("vault.test")


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logging_on(out: io.StringIO) -> Iterator[Logging]:
    words = Vocabulary(purposes=frozenset({"delivery"}))
    with Logging(stream=out, words=lambda: words) as made:
        yield made


def lines(out: io.StringIO) -> list[dict]:
    assert CANARY not in out.getvalue()
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.usefixtures("logging_on")
def test_a_line(out: io.StringIO):
    call = Tracer(lambda _record: None).call(names.RPC_DETOKENIZE)
    call.call_id = "4" * 32
    log.info("call.refused", reason="POLICY_DENIED", purpose="delivery", count=3)
    call.finish(0)
    log.debug("not.shown")
    (line,) = lines(out)
    assert line.pop("ts").endswith("Z")
    assert {
        "level": "info",
        "event": "call.refused",
        "reason": "POLICY_DENIED",
        "purpose": "delivery",
        "count": 3,
        "trace_id": call.trace_id.hex(),
        "call_id": "4" * 32,
    } == line


def test_fields_that_are_not_listed_are_stopped(out: io.StringIO, logging_on: Logging):
    log.warning("event", value=CANARY, reason=CANARY, purpose=CANARY, count=-1, rpc=CANARY)
    (line,) = lines(out)
    assert {"ts", "level", "event", "fields_dropped"} == set(line)
    assert 5 == line["fields_dropped"] == logging_on.formatter.refused


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[31mred", "x" * 600, "nul\x00"])
@pytest.mark.usefixtures("logging_on")
def test_operators_text_is_one_printable_line(out: io.StringIO, text: str):
    log.info("event", file=text)
    (line,) = lines(out)
    assert "file" not in line


def fail() -> None:
    try:
        int(CANARY)
    except ValueError as error:
        raise KeyError(CANARY) from error


@pytest.mark.usefixtures("logging_on")
def test_an_exception_is_its_classes_and_frames(out: io.StringIO):
    try:
        fail()
    except KeyError as error:
        log.failure("call.failed", error)
    (line,) = lines(out)
    outer, inner = line["exception"]
    assert (outer["class"], inner["class"]) == ("builtins.KeyError", "builtins.ValueError")
    assert outer["frames"][0].startswith("unit/test_telemetry_logs.py:")
    assert outer["frames"][0].endswith(" fail")


def test_groups_and_long_chains_are_bounded():
    error: BaseException = ExceptionGroup(CANARY, [ValueError(CANARY), OSError(CANARY)])
    for _ in range(10):
        outer = RuntimeError(CANARY)
        outer.__cause__ = error
        error = outer
    assert len(describe_exception(error)) == 4
    (group,) = describe_exception(ExceptionGroup(CANARY, [ValueError(CANARY)]))
    assert group["of"] == ["builtins.ValueError"]


@pytest.mark.parametrize("library", ["grpc._cython", "asyncio", "hvac", "urllib3", "opentelemetry"])
@pytest.mark.usefixtures("logging_on")
def test_other_libraries_are_reduced_to_their_name(out: io.StringIO, library: str):
    theirs = logging.getLogger(library)
    theirs.info("secret %s", CANARY)
    theirs.warning("secret %s", CANARY)
    try:
        fail()
    except KeyError:
        theirs.exception(f"secret {CANARY}")
    warned, failed = lines(out)
    assert (FOREIGN_EVENT, library, "warning") == (
        warned["event"],
        warned["logger"],
        warned["level"],
    )
    assert failed["exception"][0]["class"] == "builtins.KeyError"


@pytest.mark.usefixtures("logging_on")
def test_plain_logging_of_ours_is_reduced_too(out: io.StringIO):
    logging.getLogger("vault.crypto").warning("value %s", CANARY)
    assert [line["event"] for line in lines(out)] == [FOREIGN_EVENT]


@pytest.mark.usefixtures("logging_on")
def test_what_the_interpreter_would_print_is_reduced(out: io.StringIO, capfd):
    def die() -> None:
        raise ValueError(CANARY)

    class Odd:
        def __del__(self) -> None:
            raise ValueError(CANARY)

    thread = threading.Thread(target=die)
    thread.start()
    thread.join()
    odd = Odd()
    del odd
    gc.collect()
    try:
        die()
    except ValueError:
        sys.excepthook(*sys.exc_info())
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(CANARY, stacklevel=1)
    assert [line["event"] for line in lines(out)] == [UNCAUGHT_EVENT] * 3 + [FOREIGN_EVENT]
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("logging_on")
async def test_a_lost_task_is_reduced(out: io.StringIO):
    async def die() -> None:
        raise ValueError(CANARY)

    task = asyncio.create_task(die())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
    assert [line["logger"] for line in lines(out)] == ["asyncio"]


class Gone(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError(CANARY)


def test_a_stream_that_is_gone_stops_nothing(capfd):
    with Logging(stream=Gone()):
        log.error("event")
    assert capfd.readouterr() == ("", "")


def test_pretty_has_the_same_content(out: io.StringIO):
    with Logging(stream=out, form="pretty", level="debug"):
        log.debug("bundle.loaded", count=2)
        log.error("call.failed", error=ValueError(CANARY))
    text = out.getvalue()
    assert "bundle.loaded  count=2" in text
    assert "builtins.ValueError" in text
    assert CANARY not in text


def test_close_puts_back_what_was_there():
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)
    Logging(stream=io.StringIO()).close()
    assert before == (root.handlers[:], root.level, sys.excepthook, threading.excepthook)


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml")])
def test_unknown_settings_are_refused(level: str, form: str):
    with pytest.raises(ValueError, match="log level"):
        Logging(level=level, form=form)
