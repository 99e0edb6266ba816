"""An HTTP/1.1 client for load: one request at a time over a kept connection, with callbacks."""

import asyncio
from collections.abc import Callable

Done = Callable[[int, bytes], None]
"""Is given the HTTP status and the body."""

_END_OF_HEAD = b"\r\n\r\n"
_END_OF_CHUNKS = b"0\r\n\r\n"


class HttpConnection(asyncio.Protocol):
    """One connection. Responses with Content-Length, or chunked (joined as they are)."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._done: Done | None = None
        self._data = b""
        self.is_lost = False

    @property
    def outstanding(self) -> int:
        return int(self._done is not None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream, and so a Transport

    def connection_lost(self, _: Exception | None) -> None:
        self.is_lost = True
        done, self._done = self._done, None
        if done is not None:
            done(503, b"")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def call(self, request: bytes, done: Done) -> None:
        """Sends one whole request; `done` is called once."""
        if self._transport is None or self.is_lost:
            asyncio.get_running_loop().call_soon(done, 503, b"")
            return
        self._done = done
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._data = data = self._data + data if self._data else data
        head = data.find(_END_OF_HEAD)
        if head < 0:
            return
        body = data[head + 4 :]
        at = data.find(b"Content-Length: ", 0, head)
        if at >= 0:
            if len(body) < int(data[at + 16 : data.find(b"\r", at)]):
                return
        elif not body.endswith(_END_OF_CHUNKS):
            return
        else:
            body = _joined(body)
        self._data = b""
        done, self._done = self._done, None
        if done is not None:
            done(int(data[9:12]), body)


def _joined(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        parts.append(body[:length])
        body = body[length + 2 :]
    return b"".join(parts)
