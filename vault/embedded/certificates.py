"""X.509 certificates: an authority, and leafs that are X.509-SVIDs (SPIFFE X509-SVID, section 4).

Pure but for randomness: no files, no clock. A leaf's description can be bent in every way
that a test needs (`Leaf`); what `Leaf` gives by default is sound.
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BACKDATED = dt.timedelta(minutes=5)
"""How long before their making certificates are valid: clocks differ a little."""
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a leaf certificate says.

    Attributes:
        uris: URI SANs. An SVID has exactly one, its SPIFFE id.
        dns_names, addresses: SANs of a server.
        usages: extended key usages.
        is_authority: the CA flag; true in no sound leaf.
        key_usage: False leaves the extension out.
    """

    common_name: str
    not_before: dt.datetime
    not_after: dt.datetime
    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    usages: tuple[x509.ObjectIdentifier, ...] = (CLIENT,)
    is_authority: bool = False
    key_usage: bool = True


def make_authority(trust_domain: str, *, not_before: dt.datetime, not_after: dt.datetime) -> Issued:
    """A self-signed authority for a SPIFFE trust domain, which signs leafs only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{trust_domain} authority")
    builder = (
        _builder(name, name, key.public_key(), not_before, not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")]
            ),
            critical=False,
        )
    )
    return Issued(builder.sign(key, hashes.SHA256()), key)


def issue(leaf: Leaf, authority: Issued | None) -> Issued:
    """A certificate for `leaf`, self-signed when there is no authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(leaf.common_name)
    issuer = subject if authority is None else authority.certificate.subject
    signer = key if authority is None else authority.key
    builder = _builder(issuer, subject, key.public_key(), leaf.not_before, leaf.not_after)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=leaf.is_authority, path_length=None), critical=True
    ).add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
    )
    if leaf.key_usage:
        usage = _key_usage(signs_certificates=leaf.is_authority)
        builder = builder.add_extension(usage, critical=True)
    if leaf.usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(leaf.usages), critical=False)
    names: list[x509.GeneralName] = [
        *map(x509.DNSName, leaf.dns_names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in leaf.addresses),
        *map(x509.UniformResourceIdentifier, leaf.uris),
    ]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Issued(builder.sign(signer, hashes.SHA256()), key)


def _builder(
    issuer: x509.Name,
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    not_before: dt.datetime,
    not_after: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """An authority signs certificates and lists; an SVID signs handshakes and nothing else."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
