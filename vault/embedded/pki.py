"""The embedded instance's own PKI: one authority, and a folder per certificate.

Guarantees: sound X.509-SVIDs (see `certificates`), private keys 0600, renewal at start well before
expiry, the key in a folder always that of the certificate beside it after a start.
A single authority serves clients and servers; the extended key usages keep them apart.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vault.clock import Clock, SystemClock
from vault.embedded.certificates import (
    BACKDATED,
    CLIENT,
    SERVER,
    Issued,
    Leaf,
    issue,
    make_authority,
)
from vault.embedded.files import PUBLIC, make_folder, write_file
from vault.embedded.state import EmbeddedError

TRUST_DOMAIN = "pdvault.example"
SERVICE, OPENBAO = "service", "openbao"
CLIENTS = {
    "order": "/shop/order",
    "shipping": "/shop/shipping",
    "support": "/shop/support",
    "marketing": "/shop/marketing",
    "privacy": "/shop/privacy",
    "custodian-1": "/vault/custodian-1",
    "custodian-2": "/vault/custodian-2",
    "auditor": "/vault/auditor",
    "policy-owner": "/vault/policy-owner",
    "operator": "/vault/operator",
    "other-order": "/other/order",
    "other-shipping": "/other/shipping",
}
"""Folder name -> path of the SPIFFE id."""
_SERVERS = {SERVICE: "/vault/service", OPENBAO: "/vault/openbao"}
_LEAF_LIFETIME = dt.timedelta(days=90)
_LEAF_RENEWAL = dt.timedelta(days=30)
_AUTHORITY_LIFETIME = dt.timedelta(days=3650)
_AUTHORITY_RENEWAL = _LEAF_LIFETIME


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The folder of one certificate."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "tls.crt"

    @property
    def key(self) -> Path:
        return self.folder / "tls.key"

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"


class Pki:
    """The certificates of one state folder."""

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        """Describe the PKI in `folder`, `certs/` of the state folder; `ensure` makes it."""
        self.folder = folder
        self._clock = clock or SystemClock()

    @property
    def authority_file(self) -> Path:
        return self.folder / "ca" / "ca.crt"

    def files(self, name: str) -> CertificateFiles:
        return CertificateFiles(self.folder / name)

    def ensure(self) -> None:
        """Make what is missing, and renew what is damaged or near its end.

        Raises:
            EmbeddedError: the authority is there only in part.
        """
        make_folder(self.folder)
        authority = self._ensure_authority()
        for name in (*_SERVERS, *CLIENTS):
            if not self._is_good(name, authority):
                self.write(name, issue(self.leaf(name), authority), authority)

    def leaf(self, name: str, *, lifetime: dt.timedelta = _LEAF_LIFETIME) -> Leaf:
        """What the certificate `name` says when made now."""
        now = self._now()
        is_server = name in _SERVERS
        path = _SERVERS[name] if is_server else CLIENTS[name]
        return Leaf(
            common_name=name,
            not_before=now - BACKDATED,
            not_after=now + lifetime,
            uris=(f"spiffe://{TRUST_DOMAIN}{path}",),
            dns_names=("localhost",) if is_server else (),
            addresses=("127.0.0.1",) if is_server else (),
            usages=(SERVER,) if is_server else (CLIENT,),
        )

    def authority(self) -> Issued:
        """The authority, for whoever needs further certificates.

        Raises:
            EmbeddedError: it is missing or damaged.
        """
        try:
            return _load(self.authority_file, self.folder / "ca" / "ca.key")
        except (OSError, ValueError) as error:
            raise EmbeddedError(
                f"the authority in {self.folder / 'ca'} is missing or damaged"
            ) from error

    def write(self, name: str, issued: Issued, authority: Issued) -> CertificateFiles:
        """Write the folder of a certificate."""
        files = self.files(name)
        make_folder(files.folder)
        write_file(files.key, issued.key_pem)
        write_file(files.certificate, issued.certificate_pem, mode=PUBLIC)
        write_file(files.authority, authority.certificate_pem, mode=PUBLIC)
        return files

    def _ensure_authority(self) -> Issued:
        if self.authority_file.exists():
            authority = self.authority()
            if authority.certificate.not_valid_after_utc - self._now() > _AUTHORITY_RENEWAL:
                return authority
        now = self._now()
        authority = make_authority(
            TRUST_DOMAIN, not_before=now - BACKDATED, not_after=now + _AUTHORITY_LIFETIME
        )
        make_folder(self.folder / "ca")
        # The key first: a certificate without it would be an error at the next start.
        write_file(self.folder / "ca" / "ca.key", authority.key_pem)
        write_file(self.authority_file, authority.certificate_pem, mode=PUBLIC)
        return authority

    def _is_good(self, name: str, authority: Issued) -> bool:
        files = self.files(name)
        try:
            issued = _load(files.certificate, files.key)
            issued.certificate.verify_directly_issued_by(authority.certificate)
            has_authority = files.authority.read_bytes() == authority.certificate_pem
        except Exception:  # noqa: BLE001  whatever is wrong with it, a new one is right
            return False
        remaining = issued.certificate.not_valid_after_utc - self._now()
        return has_authority and remaining > _LEAF_RENEWAL

    def _now(self) -> dt.datetime:
        seconds = self._clock.unix_ns() // 1_000_000_000
        return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)


def _load(certificate_file: Path, key_file: Path) -> Issued:
    """Raises OSError or ValueError when they are missing, damaged or not a pair."""
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != (
        certificate.public_key()
    ):
        raise ValueError("the key is not that of the certificate")
    return Issued(certificate, key)
