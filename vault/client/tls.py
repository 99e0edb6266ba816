"""The three files of mutual TLS, and when they have changed.

Guarantees: a certificate that does not belong to its key, an empty CA file or
an encrypted key is refused by name before anything is sent. There is no way to
a channel without all three. Whether the certificate is in date, and who is to
be trusted, is settled in the handshake.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from vault.client.errors import CredentialFilesError

Stamp: TypeAlias = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """The files' content, PEM."""

    cert: bytes
    key: bytes = field(repr=False)
    ca: bytes


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the client's chain, its key and the CAs that it trusts lie."""

    cert: Path
    key: Path
    ca: Path

    @classmethod
    def in_directory(cls, path: Path) -> Self:
        """`tls.crt`, `tls.key` and `ca.crt`: the names that `pdvault up` and Kubernetes use."""
        return cls(path / "tls.crt", path / "tls.key", path / "ca.crt")

    def stamp(self) -> Stamp:
        """Another one after any of the files was written or replaced.

        Raises:
            CredentialFilesError: a file is not there.
        """
        try:
            stats = [path.stat() for path in (self.cert, self.key, self.ca)]
        except OSError as error:
            raise CredentialFilesError(f"{error.filename}: {error.strerror}") from error
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in stats)

    def read(self) -> TlsMaterial:
        """The files' content, checked.

        Raises:
            CredentialFilesError: a file is missing or is not what it should be.
        """
        try:
            material = TlsMaterial(*(path.read_bytes() for path in (self.cert, self.key, self.ca)))
        except OSError as error:
            raise CredentialFilesError(f"{error.filename}: {error.strerror}") from error
        chain = _certificates(self.cert, material.cert)
        _certificates(self.ca, material.ca)
        try:
            key = load_pem_private_key(material.key, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # their texts may quote the key
            raise CredentialFilesError(f"{self.key}: not an unencrypted PEM private key") from None
        if key.public_key() != chain[0].public_key():
            raise CredentialFilesError(f"{self.key}: not the key of {self.cert}")
        return material


def _certificates(path: Path, content: bytes) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise CredentialFilesError(f"{path}: no PEM certificate") from error
