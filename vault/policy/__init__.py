"""Who may see what, in which view, for which purpose: rules as files, decisions by Cedar."""

from vault.policy.bundle import Act, Bundle, BundleCounts
from vault.policy.callers import CallerEntry
from vault.policy.faults import BundleError
from vault.policy.holder import BundleHolder, Loaded
from vault.policy.load import load_bundle
from vault.policy.purposes import Purpose

__all__ = [
    "Act",
    "Bundle",
    "BundleCounts",
    "BundleError",
    "BundleHolder",
    "CallerEntry",
    "Loaded",
    "Purpose",
    "load_bundle",
]
