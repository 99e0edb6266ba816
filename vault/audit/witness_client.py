"""The way to one witness: HTTP/1.1 over TLS in a thread of its own, bounded in time and size.

Guarantees: at most one request is under way; it ends, one way or another, within `_ANSWER_S`
for whoever waits; no proxy and no redirection is followed; nothing is handed on but what
`vault.audit.witness` found good. A witness is never believed about anything else: all that it
can do by lying is to withhold its cosignature and to raise an alarm.
"""

import asyncio
import contextlib
import http.client
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vault.audit.note import Note, VerifierKey
from vault.audit.witness import (
    MAX_ANSWER,
    Answer,
    Conflict,
    Cosigned,
    Fault,
    WitnessError,
    add_checkpoint_body,
    read_answer,
)

_ANSWER_S = 5.0
"""Longest wait for a whole answer."""
_SOCKET_S = 3.0
"""Longest wait for a connection, or for the next bytes."""
_ATTEMPTS = 3
"""Requests in one exchange: a 409 tells the right size; another process may be asking too."""


Prover = Callable[[int, int], Awaitable[Sequence[bytes]]]
"""The consistency proof between two sizes of the log. Raises VaultError."""


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """Where a witness is, and how it is known.

    Attributes:
        url: its submission prefix.
        key: of its cosignatures; its name is the witness's.
        ca_file: of its certificate; None: the CAs of the system.
    """

    url: str
    key: VerifierKey
    ca_file: Path | None = None


class WitnessClient:
    """One witness, and the size that it has last cosigned as far as is known here."""

    def __init__(self, address: WitnessAddress) -> None:
        self.name = address.key.name
        self.size = 0
        self._key = address.key
        self._channel = _Channel(address)
        # One thread: a second request waits behind one that hangs, say in a name server.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="witness")

    async def probe(self, note: Note, size: int) -> int:
        """The size that the witness has last cosigned.

        Args:
            note: a signed checkpoint of the log, of whatever size.
            size: its size.

        Raises:
            WitnessError: it does not say.
        """
        result = await self._ask(0, (), note)
        self.size = result.size if isinstance(result, Conflict) else size
        return self.size

    async def cosign(self, note: Note, size: int, prove: Prover) -> Cosigned:
        """The witness's cosignature of a signed checkpoint.

        Raises:
            WitnessError: there is none.
            VaultError: the proof that it needs can't be read.
        """
        for _ in range(_ATTEMPTS):
            old = self.size
            if old > size:
                raise WitnessError(Fault.AHEAD, size=old)
            proof = await prove(old, size) if 0 < old < size else ()
            result = await self._ask(old, proof, note)
            if isinstance(result, Cosigned):
                self.size = size
                return result
            if result.size == old:
                raise WitnessError(Fault.MALFORMED)
            self.size = result.size
        raise WitnessError(Fault.UNREACHABLE)

    def close(self) -> None:
        """Ends what is under way."""
        self._channel.abort()
        self._thread.submit(self._channel.drop)
        self._thread.shutdown(wait=False)

    async def _ask(self, old: int, proof: Sequence[bytes], note: Note) -> Cosigned | Conflict:
        body = add_checkpoint_body(old, proof, note)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await loop.run_in_executor(self._thread, self._channel.post, body)
        except (TimeoutError, OSError, http.client.HTTPException, ValueError) as error:
            self._channel.abort()
            raise WitnessError(Fault.UNREACHABLE) from error
        except asyncio.CancelledError:
            self._channel.abort()
            raise
        return read_answer(answer, note, self._key)


class _Channel:
    """A connection that is kept while it is good. All but `abort` is for one thread."""

    def __init__(self, address: WitnessAddress) -> None:
        url = urlsplit(address.url)
        self._host = url.hostname or ""
        self._port = url.port
        self._path = url.path.rstrip("/") + "/add-checkpoint"
        self._context = (
            ssl.create_default_context(cafile=address.ca_file) if url.scheme == "https" else None
        )
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes) -> Answer:
        """Raises: OSError, HTTPException, ValueError."""
        if self._connection is not None:
            # The witness may have closed it since; asking twice does no harm.
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self._post(self._connection, body)
        self._connection = self._connect()
        return self._post(self._connection, body)

    def drop(self) -> None:
        """Closes the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abort(self) -> None:
        """Lets a thread that waits for the other end wait no longer."""
        connection = self._connection
        held = connection.sock if connection is not None else None
        if held is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own, which takes the TLS layer away from under the thread.
                socket.socket.shutdown(held, socket.SHUT_RDWR)

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=_SOCKET_S)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=_SOCKET_S, context=self._context
        )

    def _post(self, connection: http.client.HTTPConnection, body: bytes) -> Answer:
        is_whole = False
        try:
            connection.request("POST", self._path, body)
            response = connection.getresponse()
            data = response.read(MAX_ANSWER + 1)
            is_whole = len(data) <= MAX_ANSWER
        finally:
            if not is_whole:
                self.drop()
        if not is_whole:
            raise ValueError("the answer is too long")
        return Answer(response.status, response.headers.get("Content-Type", ""), data)
