"""Fixtures only."""

from tests.support.embedded import instance

__all__ = ["instance"]
