import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.telemetry.traceparent import RemoteParent, read_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = RemoteParent(bytes.fromhex(TRACE), bytes.fromhex(SPAN))


@pytest.mark.parametrize(
    "text",
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-00",
        f"00-{TRACE}-{SPAN}-ff",
        f"01-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
        f"cc-{TRACE}-{SPAN}-01-",
    ],
)
def test_reads(text: str):
    assert read_traceparent(text) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"01-{TRACE}-{SPAN}-01.more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"0A-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1x",
        f"00_{TRACE}_{SPAN}_01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01 ",
        f"00-{TRACE}-{SPAN}-01\n",
        f"01-{TRACE}-{SPAN}-01-\x00",
        f"01-{TRACE}-{SPAN}-01-{'x' * 300}",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        "00-" + "٣" * 32 + f"-{SPAN}-01",
        "x" * 1_000_000,
        "13800138000",
    ],
)
def test_refuses(text: str | None):
    assert read_traceparent(text) is None


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str):
    read_traceparent(text)


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8))
def test_every_pair_of_ids_that_is_not_zero_is_read(trace: bytes, span: bytes):
    expected = RemoteParent(trace, span) if any(trace) and any(span) else None
    assert expected == read_traceparent(f"00-{trace.hex()}-{span.hex()}-01")
