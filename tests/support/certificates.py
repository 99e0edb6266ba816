"""Certificates made on the spot: valid defaults, override one thing, build."""

import datetime as dt
import functools

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.frozen_clock import NOW

SPIFFE_ID = "spiffe://pdvault.example/shop/order"
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
DIGITAL_SIGNATURE = frozenset({"digital_signature"})

_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@functools.cache
def issuer_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def leaf_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    return (key or leaf_key()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_pem(
    *uris: str,
    dns: tuple[str, ...] = (),
    is_ca: bool | None = None,
    usages: frozenset[str] | None = DIGITAL_SIGNATURE,
    extended: tuple[x509.ObjectIdentifier, ...] | None = (CLIENT_AUTH,),
    not_before: int = NOW - 60,
    not_after: int = NOW + 3600,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """A certificate in PEM. None leaves an extension out; no names at all leaves out the SAN."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")]))
        .public_key((key or leaf_key()).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(not_before, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(not_after, dt.UTC))
    )
    names = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [x509.DNSName(name) for name in dns]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    if is_ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    if usages is not None:
        usage = x509.KeyUsage(**{name: name in usages for name in _USAGES})
        builder = builder.add_extension(usage, critical=True)
    if extended is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    certificate = builder.sign(issuer_key(), hashes.SHA256())
    return certificate.public_bytes(Encoding.PEM)


def ca_pem(**overrides: int) -> bytes:
    return certificate_pem(
        is_ca=True, usages=frozenset({"key_cert_sign", "crl_sign"}), extended=None, **overrides
    )
