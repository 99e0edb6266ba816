"""The client's pure parts: reprs, the retry policy, and where requests are split."""

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.client import (
    DetokenizeOutcome,
    Issued,
    Refused,
    RetryPolicy,
    Revealed,
    Subject,
    SubjectTokens,
    TokenizeOutcome,
    UnavailableError,
    Verdict,
    View,
    Wanted,
)
from vault.client.requests import MAX_ITEMS, MAX_SUBJECTS, tokenize_requests
from vault.errors import Reason


def test_reprs_hide_values_tokens_and_references():
    revealed = Revealed(View.MASKED, "phone", "CANARY")
    issued = Issued("phone", "CANARY")
    refused = Refused(Verdict.INVALID, Reason.VALUE_INVALID, "check digit")
    holders = [
        revealed,
        issued,
        Subject("CANARY", {"phone": "CANARY"}),
        Wanted("CANARY", View.FULL),
        SubjectTokens({"phone": issued}),
        TokenizeOutcome((SubjectTokens({"phone": issued, "email": refused}),), "k" * 16, ()),
        DetokenizeOutcome((revealed, refused), ()),
    ]
    for holder in holders:
        assert "CANARY" not in f"{holder!r} {holder}"
    assert repr(revealed) == "Revealed(view=MASKED, field_type='phone', value=<hidden>)"
    assert repr(issued) == "Issued(field_type='phone', token=<hidden>)"


def failure(retry_after=None):
    return UnavailableError(
        Reason.OVERLOADED, "busy", status=grpc.StatusCode.UNAVAILABLE, retry_after=retry_after
    )


@pytest.mark.parametrize(
    ("attempt", "retry_after", "remaining", "expected"),
    [
        (1, None, 9, 0.2),
        (2, None, 9, 0.4),
        (3, None, 9, 0.8),
        (4, None, 9, None),
        (1, 1.5, 9, 1.7),
        (1, 9.5, 9, None),
        (1, None, 0.1, None),
    ],
)
def test_the_longest_wait(attempt, retry_after, remaining, expected):
    wait = RetryPolicy().wait(
        failure(retry_after), attempt=attempt, remaining=remaining, random=lambda: 1.0
    )
    assert (expected if expected is None else pytest.approx(expected)) == wait


def test_a_call_that_the_server_dropped_when_it_stopped_is_tried_again():
    """Local cancellation never shows as a status, so this one is the transport's."""
    dropped = UnavailableError(Reason.CANCELLED, "dropped", status=grpc.StatusCode.CANCELLED)
    assert 0.0 == RetryPolicy().wait(dropped, attempt=1, remaining=10, random=lambda: 0.0)


def test_jitter_is_full_and_the_ceiling_holds():
    policy = RetryPolicy(attempts=99)
    assert policy.wait(failure(), attempt=1, remaining=9, random=lambda: 0.0) == 0
    assert policy.wait(failure(), attempt=50, remaining=9, random=lambda: 1.0) == 2.0


@given(st.lists(st.integers(0, 400), max_size=30), st.integers(0, 1200))
def test_parts_keep_order_and_limits(sizes, singles):
    subjects = [
        Subject(f"m{i}", {f"f{j}": "v" for j in range(size)})
        for i, size in enumerate(sizes + [1] * singles)
    ]
    parts = tokenize_requests(subjects, idempotency_key="k" * 16, all_or_nothing=False)
    assert [each.ref for each in subjects] == [
        each.subject_ref for part in parts for each in part.subjects
    ]
    assert len({part.idempotency_key for part in parts}) == len(parts)
    for part in parts:
        assert len(part.subjects) <= MAX_SUBJECTS
        assert sum(len(each.fields) for each in part.subjects) <= MAX_ITEMS
