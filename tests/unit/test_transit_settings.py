"""Transit settings that are refused, and what may name a root key."""

from pathlib import Path

import pytest

from vault.crypto.transit_settings import AppRole, TokenFile, TransitSettings

AUTH = TokenFile(Path("token"))


@pytest.mark.parametrize(
    "address",
    [
        "https://bao.internal:8200",
        "https://10.0.0.1",
        "http://127.0.0.1:8200",
        "http://[::1]:1",
        "http://localhost:8200/",
    ],
)
def test_safe_addresses(address):
    assert TransitSettings(address, AUTH).address == address


@pytest.mark.parametrize(
    "address",
    [
        "http://bao.internal:8200",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "ftp://a",
        "https://",
        "https://user:secret@bao",
        "https://bao/v1",
        "https://bao?x=1",
        "bao:8200",
        "",
    ],
)
def test_unsafe_addresses_are_refused_without_being_quoted(address):
    with pytest.raises(ValueError, match="address: ") as caught:
        TransitSettings(address, AUTH)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    [
        {"mount": "../sys"},
        {"mount": ""},
        {"namespace": "a//b"},
        {"key_prefix": "Pdv/"},
        {"connect_seconds": 0},
        {"read_seconds": -1},
        {"probe_seconds": float("nan")},
        {"grace_seconds": float("inf")},
        {"max_batch": 0},
        {"max_batch": 241},
        {"threads": 0},
        {"threads": 33},
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        TransitSettings("https://bao", AUTH, **setting)


def test_auth_mount_is_a_path():
    with pytest.raises(ValueError, match="auth mount"):
        AppRole(Path("a"), Path("b"), mount="approle/../token")


@pytest.mark.parametrize("tenant", ["", "../x", "a/b", "A", "a b", "a" * 64, "é", "-a", "a\n"])
def test_a_tenant_that_could_leave_its_path_is_refused(tenant):
    with pytest.raises(ValueError, match="tenant"):
        TransitSettings("https://bao", AUTH).root_key(tenant)


def test_root_key():
    assert TransitSettings("https://bao", AUTH).root_key("demo-shop") == "pdv-demo-shop"
