"""What the two clients share: how they are made."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Generic, Self, TypeVar

import grpc

from vault.client.calls import Calls
from vault.client.channels import Channels, Option
from vault.client.retry import Retrying, RetryPolicy
from vault.client.tls import TlsFiles
from vault.client.trace import Metadata

ChannelT = TypeVar("ChannelT")

DEFAULT_TIMEOUT = 10.0
"""Seconds for a whole call, retries and their waits included."""


class BaseClient(ABC, Generic[ChannelT]):
    """Not used by itself; see VaultClient and AsyncVaultClient."""

    def __init__(
        self,
        channels: Channels[ChannelT],
        calls: Calls,
        bearer: Callable[[], str] | None = None,
    ) -> None:
        self._channels = channels
        self._calls = calls
        self._bearer = bearer

    def _metadata(self, metadata: Metadata) -> Metadata:
        """A call's metadata, with the person's token if this client carries people."""
        if self._bearer is None:
            return metadata
        return (*metadata, ("authorization", f"Bearer {self._bearer()}"))

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        cert: str | PathLike[str],
        key: str | PathLike[str],
        ca: str | PathLike[str],
        server_name: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
        on_retry: Callable[[Retrying], None] | None = None,
        bearer: Callable[[], str] | None = None,
    ) -> Self:
        """A client of the vault at `address`. The connection is made by the first call.

        Args:
            address: "HOST:PORT", or another gRPC target.
            cert: PEM file: the client's X.509-SVID, then its intermediates.
            key: PEM file: its private key, unencrypted.
            ca: PEM file: the authorities that may vouch for the server.
            server_name: the name that the server's certificate has to bear; without
                it, the host of `address`.
            timeout: seconds for each whole call that does not say otherwise.
            retry: when to try again; RetryPolicy(attempts=1) never does.
            on_retry: told of each retry; it must not block.
            bearer: for a console: gives the JWT of the person for whom it calls, asked
                before every attempt; it must not block. Never shown or logged.

        The files are read now, and again whenever they have changed.

        Raises:
            CredentialFilesError: a file is missing or is not what it should be.
            ValueError: `timeout` is not above 0.
        """
        if timeout <= 0:
            raise ValueError("timeout must be above 0 seconds")
        files = TlsFiles(Path(cert), Path(key), Path(ca))
        channels = Channels(address, files, server_name, cls._open)
        calls = Calls(timeout=timeout, retry=retry or RetryPolicy(), on_retry=on_retry)
        return cls(channels, calls, bearer)

    @classmethod
    def from_directory(
        cls,
        path: str | PathLike[str],
        address: str,
        *,
        server_name: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retry: RetryPolicy | None = None,
        on_retry: Callable[[Retrying], None] | None = None,
        bearer: Callable[[], str] | None = None,
    ) -> Self:
        """`connect` with the folder's `tls.crt`, `tls.key` and `ca.crt`."""
        files = TlsFiles.in_directory(Path(path))
        return cls.connect(
            address,
            cert=files.cert,
            key=files.key,
            ca=files.ca,
            server_name=server_name,
            timeout=timeout,
            retry=retry,
            on_retry=on_retry,
            bearer=bearer,
        )

    @staticmethod
    @abstractmethod
    def _open(
        address: str, credentials: grpc.ChannelCredentials, options: tuple[Option, ...]
    ) -> ChannelT: ...
