"""What PostgreSQL knows a pool by."""

import pytest

from vault.store.database import application_name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://pdvault_service:secret@127.0.0.1:5432/pdvault", "pdvault-service"),
        ("postgresql://pdvault_audit_reader@/pdvault?host=/run/postgresql", "pdvault-audit-reader"),
        ("postgres://pdvault%5Fsequencer:p%40ss@h/x?sslmode=verify-full", "pdvault-sequencer"),
        ("postgresql://u:p@h/x?application_name=shop-vault&sslmode=disable", "shop-vault"),
        ("postgresql://h/x", "pdvault"),
    ],
)
def test_a_pool_is_known_by_its_role(url, name):
    assert name == application_name(url)
