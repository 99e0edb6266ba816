"""Fixtures, and how Hypothesis runs here."""

from hypothesis import HealthCheck, settings

from tests.support.embedded import instance

__all__ = ["instance"]

# A busy machine is slow to draw the first example; that says nothing about the product.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")
