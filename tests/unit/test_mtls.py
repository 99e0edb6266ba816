"""The leaf rules of the X.509-SVID standard, and time."""

import hashlib
import ssl

import pytest
from cryptography import x509

from tests.support.certificates import SERVER_AUTH, SPIFFE_ID, ca_pem, certificate_pem
from tests.support.frozen_clock import NOW, FrozenClock
from vault.authn.mtls import PeerCertificates
from vault.errors import Reason, VaultError


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def certificates(clock):
    return PeerCertificates(trust_domain="pdvault.example", clock=clock)


def refusal(certificates, pem):
    with pytest.raises(VaultError) as caught:
        certificates.identify(pem)
    return caught.value


def outcome(certificates, pem):
    try:
        certificates.identify(pem)
    except VaultError as error:
        return error.reason
    return Reason.NONE


def test_identity_of_a_good_certificate(certificates):
    pem = certificate_pem(SPIFFE_ID, is_ca=False)
    found = certificates.identify(pem)
    assert str(found.spiffe_id) == SPIFFE_ID
    assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).digest() == found.sha256
    assert found.not_before_ns == (NOW - 60) * 10**9
    assert found.not_after_ns == (NOW + 3601) * 10**9


@pytest.mark.parametrize(
    "options",
    [
        {"is_ca": None},
        {"extended": None},
        {"extended": (SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH)},
        {"usages": frozenset({"digital_signature", "key_encipherment", "key_agreement"})},
        {"dns": ("order.shop.example",)},
    ],
)
def test_what_the_standard_leaves_open_is_accepted(certificates, options):
    assert str(certificates.identify(certificate_pem(SPIFFE_ID, **options)).spiffe_id) == SPIFFE_ID


@pytest.mark.parametrize(
    ("names", "options"),
    [
        ((), {}),
        ((), {"dns": ("order.shop.example",)}),
        ((SPIFFE_ID, "spiffe://pdvault.example/shop/support"), {}),
        ((SPIFFE_ID, SPIFFE_ID), {}),
        ((SPIFFE_ID, "https://pdvault.example/"), {}),
        (("https://pdvault.example/shop/order",), {}),
        (("spiffe://pdvault.example",), {}),
        (("spiffe://pdvault.example/",), {}),
        (("spiffe://pdvault.example/shop/../vault/auditor",), {}),
        (("spiffe://PDVAULT.example/shop/order",), {}),
        (("spiffe://other.example/shop/order",), {}),
        (("spiffe://pdvault.example.evil.example/shop/order",), {}),
        ((SPIFFE_ID,), {"is_ca": True}),
        ((SPIFFE_ID,), {"usages": None}),
        ((SPIFFE_ID,), {"usages": frozenset({"key_encipherment"})}),
        ((SPIFFE_ID,), {"usages": frozenset({"digital_signature", "key_cert_sign"})}),
        ((SPIFFE_ID,), {"usages": frozenset({"digital_signature", "crl_sign"})}),
        ((SPIFFE_ID,), {"extended": (SERVER_AUTH,)}),
        ((SPIFFE_ID,), {"extended": (x509.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)}),
        ((SPIFFE_ID,), {"not_before": NOW + 1}),
    ],
)
def test_not_a_usable_svid(certificates, names, options):
    error = refusal(certificates, certificate_pem(*names, **options))
    assert error.reason == Reason.CERTIFICATE_INVALID


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"\x00\xff",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n",
        b"x" * 100_000,
    ],
)
def test_not_a_certificate(certificates, pem):
    assert refusal(certificates, pem).reason == Reason.CERTIFICATE_INVALID


def test_a_chain_is_not_one_certificate(certificates):
    pem = certificate_pem(SPIFFE_ID) + ca_pem()
    assert refusal(certificates, pem).reason == Reason.CERTIFICATE_INVALID


def test_every_broken_byte_is_judged(certificates):
    """Whatever a broken certificate looks like, the outcome is an identity or a refusal."""
    der = bytearray(ssl.PEM_cert_to_DER_cert(certificate_pem(SPIFFE_ID).decode()))
    for index in range(len(der)):
        broken = der.copy()
        broken[index] ^= 0x04
        reason = outcome(certificates, ssl.DER_cert_to_PEM_cert(bytes(broken)).encode())
        assert reason in {Reason.NONE, Reason.CERTIFICATE_INVALID, Reason.CERTIFICATE_EXPIRED}


def test_certificate_expires_while_the_connection_is_open(certificates, clock):
    pem = certificate_pem(SPIFFE_ID, not_after=NOW + 5)
    certificates.identify(pem)
    clock.advance(5.9)
    certificates.identify(pem)
    clock.advance(0.1)
    assert refusal(certificates, pem).reason == Reason.CERTIFICATE_EXPIRED


def test_a_clock_set_back_makes_it_not_yet_valid(certificates, clock):
    pem = certificate_pem(SPIFFE_ID)
    certificates.identify(pem)
    clock.advance(-61)
    assert refusal(certificates, pem).reason == Reason.CERTIFICATE_INVALID


def test_parsing_is_cached_and_the_cache_is_bounded(clock):
    certificates = PeerCertificates(trust_domain="pdvault.example", clock=clock, max_entries=2)
    pems = [certificate_pem(f"spiffe://pdvault.example/shop/{n}") for n in range(3)]
    for pem in [pems[0], pems[0], *pems]:
        certificates.identify(pem)
    info = certificates._read.cache_info()
    assert (info.hits, info.misses, info.currsize) == (2, 3, 2)


def test_no_expiry_of_the_standard_fits(certificates):
    pem = certificate_pem(SPIFFE_ID, not_after=253_402_300_799)  # 9999-12-31T23:59:59Z
    assert str(certificates.identify(pem).spiffe_id) == SPIFFE_ID
