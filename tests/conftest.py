"""Fixtures, and how Hypothesis runs here."""

import gc

from hypothesis import HealthCheck, settings

from tests.support.embedded import instance

__all__ = ["instance"]

# A busy machine is slow to draw the first example; that says nothing about the product.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


def pytest_collection_finish() -> None:
    """Thousands of collected tests are no garbage, and need not be looked through for any."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
