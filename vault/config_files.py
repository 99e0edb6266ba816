"""The files and addresses that a configuration names, judged before anything starts.

Each check either returns what it read or raises a `FileError` whose text says what is
wrong in a few words. No text holds content of a file: a database URL has a
password in it.
"""

import datetime as dt
import ipaddress
import os
import re
import stat
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

MAX_FILE_BYTES = 1024 * 1024
MAX_SECRET_BYTES = 64 * 1024

# What a database URL may ask for. Parameters that bring in settings from elsewhere
# (service, passfile) or override the URL's own parts (user, password, dbname) are not among them.
_URL_PARAMETERS = frozenset(
    {
        "application_name",
        "host",
        "port",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
    }
)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?", re.ASCII)
_URL_PATH = re.compile(r"(?:/[A-Za-z0-9._~%-]*)*", re.ASCII)
_SOCKET_FOLDER = re.compile(r"(?:/[A-Za-z0-9._-]+)+", re.ASCII)
_OPEN = "may be changed by everybody on this machine"


class FileError(ValueError):
    """A file or address that can't be used. The text holds nothing of it."""


def read_file(path: Path, *, max_bytes: int = MAX_FILE_BYTES, is_secret: bool = False) -> bytes:
    """The bytes of a regular file.

    Args:
        path: may be a symbolic link, as orchestrators mount secrets that way.
        max_bytes: a longer file is refused.
        is_secret: refuse a file that group or others may read or write. What everybody
            may write is refused in any case: it holds a CA, say, and decides whom to trust.

    Raises:
        FileError: it can't be read, or should not be.
    """
    try:
        # O_NONBLOCK: opening a named pipe would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise FileError("no such file") from error
    except (OSError, ValueError) as error:
        raise FileError("can't be opened") from error
    try:
        # Judged on the open file, so nobody can change it in between.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileError("is not a regular file")
        if is_secret and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise FileError("is open to group or others; a secret needs mode 600 or 400")
        if status.st_mode & stat.S_IWOTH:
            raise FileError(_OPEN)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise FileError("can't be read") from error
    finally:
        os.close(descriptor)
    if not data.strip():
        raise FileError("is empty")
    if len(data) > max_bytes:
        raise FileError(f"has more than {max_bytes} bytes")
    return data


def read_secret(path: Path) -> str:
    """The text of a secret file, without surrounding white space.

    Raises:
        FileError: it can't be read, is open to others, or is not one line of ASCII.
    """
    data = read_file(path, max_bytes=MAX_SECRET_BYTES, is_secret=True)
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise FileError("is not ASCII text") from None  # the cause holds the secret
    if not text.isprintable() or " " in text:
        raise FileError("is not one line without spaces")
    return text


def check_directory(path: Path) -> None:
    """Refuse what is not a directory, or one that everybody may change.

    Raises:
        FileError: it is not, or they may.
    """
    if not path.is_dir():
        raise FileError("no such directory")
    if path.stat().st_mode & stat.S_IWOTH:
        raise FileError(_OPEN)


def read_server_certificate(path: Path, *, now: dt.datetime) -> x509.Certificate:
    """The first certificate of a chain file, fit for a TLS server now.

    Raises:
        FileError: it does not parse, is outside its time, or is not for servers.
    """
    certificate = _read_certificates(path)[0]
    if now < certificate.not_valid_before_utc:
        raise FileError("the certificate is not valid yet")
    if now > certificate.not_valid_after_utc:
        raise FileError("the certificate has expired")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return certificate  # absent means unrestricted (RFC 5280, 4.2.1.12)
    except (ValueError, x509.DuplicateExtension) as error:
        raise FileError("the certificate has malformed extensions") from error
    if ExtendedKeyUsageOID.SERVER_AUTH not in usage:
        raise FileError("the certificate's extended key usage lacks serverAuth")
    return certificate


def certificate_end(path: Path) -> float:
    """When a PEM file's first certificate expires: seconds since 1970.

    Raises:
        FileError: the file can't be read or holds no certificate.
    """
    return _read_certificates(path)[0].not_valid_after_utc.timestamp()


def check_private_key(path: Path, certificate: x509.Certificate | None) -> None:
    """Refuse a key that is not the certificate's; None: only that it is a key.

    Raises:
        FileError: it is open to others, does not parse, is encrypted, or does not match.
    """
    data = read_file(path, max_bytes=MAX_SECRET_BYTES, is_secret=True)
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise FileError("the key is encrypted; give it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise FileError("holds no private key in PEM form") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate is not None and (
        key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form)
    ):
        raise FileError("the key does not belong to the certificate")


def check_ca(path: Path, *, now: dt.datetime) -> None:
    """Refuse a file that does not hold CA certificates only, one of them valid now.

    Raises:
        FileError: it does not.
    """
    certificates = _read_certificates(path)
    for certificate in certificates:
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            is_ca = constraints.value.ca
        except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
            is_ca = False
        if not is_ca:
            raise FileError("holds a certificate that is not a CA's")
    if not any(c.not_valid_before_utc <= now <= c.not_valid_after_utc for c in certificates):
        raise FileError("holds no CA certificate that is valid now")


def _read_certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(read_file(path))
    except FileError:
        raise
    except (ValueError, x509.InvalidVersion) as error:
        raise FileError("holds no certificate in PEM form") from error


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """The parts of a database URL that are not secret."""

    user: str
    hosts: tuple[str, ...]
    database: str


def read_database_url(path: Path) -> DatabaseUrl:
    """Check the URL in a secret file. Whoever is not on this machine is reached with
    `sslmode=verify-full` or not at all.

    Raises:
        FileError: the file or the URL is not usable.
    """
    text = read_secret(path)
    try:
        url = urllib.parse.urlsplit(text)
        pairs = (
            urllib.parse.parse_qsl(url.query, keep_blank_values=True, strict_parsing=True)
            if url.query
            else []
        )
    except ValueError:
        raise FileError("is not a URL") from None
    if url.scheme not in {"postgresql", "postgres"} or url.fragment:
        raise FileError("is not a postgresql:// URL")
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise FileError("gives a URL parameter twice")
    if parameters.keys() - _URL_PARAMETERS:
        raise FileError(f"has a URL parameter other than {', '.join(sorted(_URL_PARAMETERS))}")
    login, _, netloc = url.netloc.rpartition("@")
    # Readers disagree on which @ counts, so it could name another host to the driver.
    if "@" in login:
        raise FileError("has an @ in user or password; write it as %40")
    if netloc and "host" in parameters:
        raise FileError("names a host twice")
    user = urllib.parse.unquote(login.partition(":")[0])
    database = urllib.parse.unquote(url.path.removeprefix("/"))
    # In the netloc a directory is percent-encoded; a parameter is decoded already.
    hosts = _hosts(
        re.sub("%2f", "/", netloc, flags=re.IGNORECASE) if netloc else parameters.get("host", "")
    )
    if not (user and database):
        raise FileError("must name a user and a database")
    is_local = all(host.startswith("/") or is_loopback(host) for host in hosts)
    if not is_local and parameters.get("sslmode") != "verify-full":
        raise FileError("leads off this machine, so it needs sslmode=verify-full")
    return DatabaseUrl(user, hosts, database)


def _hosts(text: str) -> tuple[str, ...]:
    """The hosts of `HOST:PORT,HOST:PORT`, or the one directory of a Unix socket."""
    # One or the other: after a directory and a comma the driver would read another host.
    if _SOCKET_FOLDER.fullmatch(text):
        return (text,)
    hosts = [_HOST.fullmatch(part) for part in text.split(",")]
    if not all(hosts):
        raise FileError("names no host, or a malformed one")
    return tuple(host[1] or host[2] for host in hosts if host)


def check_http_address(text: str, *, may_have_path: bool = False) -> str:
    """Check the address of a service that speaks HTTP; its scheme is the result.

    Raises:
        FileError: it is not `https://HOST:PORT`, perhaps with a path, nor `http://` to this
            machine.
    """
    try:
        url = urllib.parse.urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        raise FileError("is not a URL") from None
    if url.scheme not in {"http", "https"} or not host:
        raise FileError("must be https://HOST:PORT")
    if "@" in url.netloc:
        raise FileError("must not hold a credential")
    if may_have_path and not _URL_PATH.fullmatch(url.path):
        raise FileError("has a path of other than letters, digits and . _ ~ - %")
    if (not may_have_path and url.path not in {"", "/"}) or url.query or url.fragment:
        raise FileError("must end after the " + ("path" if may_have_path else "port"))
    if url.scheme == "http" and not is_loopback(host):
        raise FileError("leads off this machine, so it must be https://")
    return url.scheme


def is_loopback(host: str) -> bool:
    """True for `localhost` and the loopback addresses."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
