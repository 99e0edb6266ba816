"""The gRPC server: mutual TLS, raw bytes to the boundary, health, graceful end.

Guarantees: there is no listener without a client certificate that the configured CAs
issued; a certificate that was rotated on disk serves new connections; every method
goes through the boundary; calls do not pile up before it. Left to the boundary: everything
about a call.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from vault.port import require_free
from vault.rpc.boundary import Boundary, Method, Peer, StreamMethod
from vault.rpc.status import DETAILS_KEY, grpc_code

LISTENERS = 2
"""Servers of gRPC on our port. Each takes in one call at a time, over several rounds of the event
loop; with one, calls trickle in and few of them share a trip to the database. The kernel
spreads connections among them (SO_REUSEPORT)."""
_MAX_METADATA = 16 * 1024
_MAX_CONNECTION_AGE_MS = 60 * 60 * 1000
"""An hour: no connection outlives its certificate's replacement for long."""
_MAX_PENDING = 96
_MAX_PENDING_EVER = 128
"""Calls that have come in and that nobody has looked at yet. Beyond the first number the transport
cancels some that come, from the second on all. They are looked at one by one, in the order in
which they came: were more to wait, under overload all would be late (ADR 21)."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The listener.

    Attributes:
        port: 0 for any free one.
        max_message_bytes: larger messages are cut off by the transport, before memory
            is set aside for them; above the boundary's own limit, which explains itself.
        shares_port: with the other workers of one supervisor, which has made sure that nobody
            else listens there. Otherwise we do so.
    """

    listen_address: str
    port: int
    certificate: Path
    key: Path
    client_ca: Path
    reflection: bool
    max_message_bytes: int
    shares_port: bool = False


class GrpcServer:
    """The listeners of one port."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        boundary: Boundary,
        methods: Sequence[Method[Any] | StreamMethod[Any]],
        health_servicer: health.aio.HealthServicer,
    ) -> None:
        self._settings = settings
        self._boundary = boundary
        self._servers = [grpc.aio.server(options=_options(settings)) for _ in range(LISTENERS)]
        services: dict[str, dict[str, Any]] = {}
        for method in methods:
            handler: Any
            if isinstance(method, StreamMethod):
                handler = grpc.unary_stream_rpc_method_handler(self._stream_handler(method))
            else:
                handler = grpc.unary_unary_rpc_method_handler(self._handler(method))
            services.setdefault(method.service, {})[method.name] = handler
        generic = tuple(
            grpc.method_handlers_generic_handler(service, handlers)
            for service, handlers in services.items()
        )
        for server in self._servers:
            server.add_generic_rpc_handlers(generic)
            health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
            if settings.reflection:
                reflection.enable_server_reflection(
                    [*services, health.SERVICE_NAME, reflection.SERVICE_NAME], server
                )

    async def start(self) -> int:
        """Listens; the port that it is.

        Raises:
            OSError: the address can't be listened on, or a TLS file can't be read.
            ValueError: TLS files that don't fit each other.
        """
        settings = self._settings
        port = settings.port
        if port and not settings.shares_port:
            require_free(settings.listen_address, port)
        host = settings.listen_address
        host = f"[{host}]" if ":" in host else host
        for server in self._servers:
            try:
                port = server.add_secure_port(f"{host}:{port}", _TlsFiles(settings).credentials())
            except RuntimeError as error:
                raise OSError(f"can't listen on {host}:{port}") from error
        for server in self._servers:
            await server.start()
        return port

    async def stop(self, drain_seconds: float) -> None:
        """Takes no more calls and lets those at work end, at most this long."""
        self._boundary.drain()
        await asyncio.gather(*(server.stop(drain_seconds) for server in self._servers))
        await self._boundary.close()

    def _handler(
        self, method: Method[Any]
    ) -> Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]:
        async def handle(data: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            answer = await self._boundary.handle(method, data, _peer(context))
            if isinstance(answer, status_pb2.Status):
                await _abort(context, answer)
            return answer

        return handle

    def _stream_handler(
        self, method: StreamMethod[Any]
    ) -> Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[None]]:
        async def handle(data: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
            boundary = self._boundary
            error = await boundary.handle_stream(method, data, _peer(context), context.write)
            if error is not None:
                await _abort(context, error)

        return handle


class _TlsFiles:
    """The files of one listener's TLS, read again when they change."""

    def __init__(self, settings: ServerSettings) -> None:
        self._certificate, self._key = settings.certificate, settings.key
        self._client_ca = settings.client_ca

    def credentials(self) -> grpc.ServerCredentials:
        """Of a listener that lets nobody in without a client certificate.

        Raises:
            OSError: a file can't be read.
            ValueError: files that don't fit each other.
        """
        return grpc.dynamic_ssl_server_credentials(
            self._read(),
            self._refreshed,  # type: ignore[arg-type]  # None means "as before" (gRPC's manual)
            require_client_authentication=True,
        )

    def _read(self) -> grpc.ServerCertificateConfiguration:
        self._stamps = self._file_stamps()
        return grpc.ssl_server_certificate_configuration(
            [(self._key.read_bytes(), self._certificate.read_bytes())],
            root_certificates=self._client_ca.read_bytes(),
        )

    def _refreshed(self) -> grpc.ServerCertificateConfiguration | None:
        """For each new connection: the files again, if they changed."""
        try:
            return None if self._file_stamps() == self._stamps else self._read()
        except OSError:
            return None  # half-way through being replaced: the old ones serve

    def _file_stamps(self) -> list[tuple[int, int]]:
        stats = [path.stat() for path in (self._certificate, self._key, self._client_ca)]
        return [(stat.st_mtime_ns, stat.st_ino) for stat in stats]


async def _abort(
    context: "grpc.aio.ServicerContext[bytes, bytes]", error: status_pb2.Status
) -> NoReturn:
    details = ((DETAILS_KEY, error.SerializeToString()),)
    await context.abort(grpc_code(error), error.message, details)


def _peer(context: "grpc.aio.ServicerContext[bytes, bytes]") -> Peer:
    authorization: list[str | bytes] = []
    traceparent: str | None = None
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            authorization.append(value)
        elif key == "traceparent" and isinstance(value, str):
            traceparent = value
    certificate = next(iter(context.auth_context().get("x509_pem_cert", ())), b"")
    return Peer(certificate, authorization, traceparent, context.time_remaining())


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", _MAX_METADATA),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA),
        # Only uncompressed messages (bit 0): a compressed one may grow past every limit.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.max_concurrent_streams", 1000),
        ("grpc.server.max_pending_requests", _MAX_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_EVER),
        ("grpc.max_connection_age_ms", _MAX_CONNECTION_AGE_MS),
        ("grpc.max_connection_age_grace_ms", 30_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.so_reuseport", 1),
    ]
