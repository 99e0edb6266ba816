"""Which channel a call goes over, and how channels are set up.

Guarantees: mutual TLS or nothing. When the certificate files change, the next
attempt opens a channel with the new ones; calls under way end on the old one,
which is closed after the last of them. Files that are broken or half written
are left alone, with a warning, while the old channel still serves.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc

from vault import __version__
from vault.client.errors import CredentialFilesError
from vault.client.tls import TlsFiles

_log = logging.getLogger("vault.client")

ChannelT = TypeVar("ChannelT")

Option = tuple[str, str | int]

_OPTIONS: tuple[Option, ...] = (
    ("grpc.primary_user_agent", f"pdvault-python/{__version__}"),
    # Retries are this client's own, with keys and deadlines that gRPC does not know of;
    # and no name server may configure how the vault is called.
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    # The vault is called directly, whatever http_proxy says.
    ("grpc.enable_http_proxy", 0),
    # A restarted vault is found again within seconds; gRPC's default goes up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A peer that vanished without a word is noticed after 25 s, and only pinged while calls wait.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # A page of 500 audit entries is the largest answer.
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    # Another client in this process, with another certificate, never shares this connection.
    ("grpc.use_local_subchannel_pool", 1),
)

Open = Callable[[str, grpc.ChannelCredentials, tuple[Option, ...]], ChannelT]


@dataclass(slots=True, eq=False)
class Lease(Generic[ChannelT]):
    """A channel and the number of calls that go over it."""

    channel: ChannelT
    calls: int = 0


class Channels(Generic[ChannelT]):
    """The channel of now, and those that still end. Safe to use from several threads."""

    def __init__(
        self,
        address: str,
        files: TlsFiles,
        server_name: str | None,
        open_channel: Open[ChannelT],
    ) -> None:
        """Reads the files; opens nothing yet.

        Raises:
            CredentialFilesError: a file is missing or is not what it should be.
        """
        self._address = address
        self._files = files
        self._options = _OPTIONS
        if server_name is not None:
            self._options += (("grpc.ssl_target_name_override", server_name),)
        self._open = open_channel
        self._lock = threading.Lock()
        self._stamp = files.stamp()
        self._material = files.read()
        self._lease: Lease[ChannelT] | None = None
        self._ending: set[Lease[ChannelT]] = set()
        self._is_closed = False

    def take(self) -> tuple[Lease[ChannelT], list[ChannelT]]:
        """The channel for one attempt, and old ones that can be closed now.

        Raises:
            RuntimeError: the client is closed.
        """
        with self._lock:
            if self._is_closed:
                raise RuntimeError("this client is closed")
            done = self._retire() if self._is_outdated() else []
            if self._lease is None:
                credentials = grpc.ssl_channel_credentials(
                    self._material.ca, self._material.key, self._material.cert
                )
                self._lease = Lease(self._open(self._address, credentials, self._options))
            self._lease.calls += 1
            return self._lease, done

    def give_back(self, lease: Lease[ChannelT]) -> list[ChannelT]:
        """The attempt is over; channels that can be closed now."""
        with self._lock:
            lease.calls -= 1
            if lease.calls or lease not in self._ending:
                return []
            self._ending.remove(lease)
            return [lease.channel]

    def close(self) -> list[ChannelT]:
        """All channels, to be closed now. Calls under way are cancelled by that."""
        with self._lock:
            self._is_closed = True
            leases = [*self._ending, *([self._lease] if self._lease else [])]
            self._ending.clear()
            self._lease = None
            return [lease.channel for lease in leases]

    def _is_outdated(self) -> bool:
        """Whether other files than those in use were read just now."""
        try:
            stamp = self._files.stamp()
            if stamp == self._stamp:
                return False
            self._stamp = stamp  # a broken pair is not read again before it changes again
            material = self._files.read()
        except CredentialFilesError as error:
            _log.warning("the certificate in use stays: %s", error)
            return False
        is_new = material != self._material
        self._material = material
        return is_new

    def _retire(self) -> list[ChannelT]:
        lease, self._lease = self._lease, None
        if lease is None:
            return []
        if lease.calls == 0:
            return [lease.channel]
        self._ending.add(lease)
        return []
