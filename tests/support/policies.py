"""The shipped policies and their callers."""

from pathlib import Path

from vault.model import Authentication, Principal
from vault.policy import Bundle

POLICIES = Path(__file__).resolve().parents[2] / "policies"


def principal_of(bundle: Bundle, name: str) -> Principal:
    """The caller with this path in the shipped trust domain, as authentication would make it."""
    entry = bundle.caller(f"spiffe://pdvault.example/{name}")
    assert entry is not None
    return Principal(entry.id, Authentication.MTLS, entry.tenant, entry.roles)
