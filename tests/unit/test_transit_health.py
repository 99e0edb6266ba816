"""The circuit breaker: what stops whom, and for how long."""

import pytest

from tests.support.frozen_clock import FrozenClock
from vault.crypto.transit_health import TransitHealth
from vault.errors import Reason

SEALED, DENIED = Reason.KEY_STORE_SEALED, Reason.KEY_STORE_DENIED


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def health(clock):
    return TransitHealth(clock=clock, pause_seconds=1, grace_seconds=30)


def test_trouble_of_the_server_stops_everybody_until_a_success(health, clock):
    health.failed(SEALED, "decrypt", "a")
    clock.advance(1000)
    assert health.refusal("encrypt", "b") is SEALED
    health.succeeded("decrypt", "a")
    assert health.refusal("encrypt", "b") is None
    assert health.state() is None


def test_trouble_of_a_tenant_stops_its_calls_of_that_kind_only(health):
    health.failed(DENIED, "encrypt", "a")
    assert health.refusal("encrypt", "a") is DENIED
    assert [health.refusal("decrypt", "a"), health.refusal("encrypt", "b")] == [None, None]
    assert health.state("a") is None


def test_after_a_pause_one_call_of_a_tenant_is_let_through(health, clock):
    health.failed(DENIED, "decrypt", "a")
    clock.advance(1)
    assert [health.refusal("decrypt", "a") for _ in range(3)] == [None, DENIED, DENIED]
    assert health.state("a").reason is DENIED


def test_since_is_the_first_failure_even_when_the_reason_changes(health, clock):
    health.server_failed(SEALED)
    since_ns = clock.monotonic_ns()
    clock.advance(5)
    health.server_failed(Reason.KEY_STORE_UNAVAILABLE)
    state = health.state()
    assert (state.reason, state.since_ns) == (Reason.KEY_STORE_UNAVAILABLE, since_ns)


def test_a_loss_longer_than_the_grace_is_told_once(health, clock):
    health.server_failed(SEALED)
    clock.advance(29)
    assert not health.newly_lost()
    clock.advance(1)
    assert [health.newly_lost(), health.newly_lost()] == [True, False]
    health.succeeded()
    health.failed(DENIED, "decrypt", "a")
    clock.advance(30)
    assert health.newly_lost()


def test_wrapping_alone_being_down_is_no_loss(health, clock):
    health.failed(DENIED, "encrypt", "a")
    clock.advance(100)
    assert not health.newly_lost()
