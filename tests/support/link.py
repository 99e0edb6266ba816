"""A TCP link in a thread of its own, that tests delay, stall, refuse and cut.

Unlike `tcp_proxy` it needs no event loop of the test's, and it can cut at a chosen request.
"""

import asyncio
import contextlib
import enum
import threading
from collections.abc import Callable, Iterator


class Cut(enum.Enum):
    """What becomes of a chunk that the client sent."""

    PASS = enum.auto()
    BEFORE = enum.auto()
    """It does not get through, and the connection breaks."""
    AFTER = enum.auto()
    """It gets through, its answer does not, and the connection breaks."""


def _pass(_: bytes) -> Cut:
    return Cut.PASS


class Link:
    """Listens on `port` and passes everything on to 127.0.0.1:`target`.

    Attributes:
        delay_seconds: before each chunk that the client sends.
        judge: decides on each of these chunks; called in the link's thread.
        cuts: connections that `judge` broke.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay_seconds = 0.0
        self.judge: Callable[[bytes], Cut] = _pass
        self.cuts = 0
        self._is_refusing = False
        self._mark: bytes | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link")

    def start(self) -> None:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def refuse(self) -> None:
        """Break every connection, and every new one at once."""
        self._is_refusing = True
        self.cut()

    def stall(self) -> None:
        """Accept connections and let nothing through: a black hole that loses nothing."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def stall_marked(self, mark: bytes) -> None:
        """Let nothing more through on connections whose client has sent these bytes, whenever."""
        self._mark = mark

    def mend(self) -> None:
        """As if nothing had been."""
        self._mark = None
        self._is_refusing = False
        self.delay_seconds = 0.0
        self.judge = _pass
        self._loop.call_soon_threadsafe(self._flowing.set)

    def cut(self) -> None:
        """Break the connections that there are."""

        def abort() -> None:
            for writer in list(self._writers):
                writer.transport.abort()

        self._loop.call_soon_threadsafe(abort)

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _shut(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.01)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_refusing:
            writer.transport.abort()
            return
        try:
            back, upstream = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, upstream}
        broken = asyncio.Event()
        sent = bytearray()
        try:
            await asyncio.gather(
                self._requests(reader, upstream, broken, sent),
                self._answers(back, writer, broken, sent),
            )
        except asyncio.CancelledError:
            pass  # the link is stopped
        finally:
            self._writers -= {writer, upstream}
            for each in (writer, upstream):
                each.transport.abort()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
        broken: asyncio.Event,
        sent: bytearray,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                sent += data[: 4096 - len(sent)]
                await asyncio.sleep(self.delay_seconds)
                await self._flowing.wait()
                await self._unmarked(sent)
                verdict = self.judge(data)
                if verdict is not Cut.PASS:
                    self.cuts += 1
                    broken.set()
                if verdict is Cut.BEFORE:
                    break
                upstream.write(data)
                await upstream.drain()
                if verdict is Cut.AFTER:
                    await asyncio.sleep(0.1)  # for the server to act on it
                    break
        upstream.transport.abort()

    async def _answers(
        self,
        back: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        broken: asyncio.Event,
        sent: bytearray,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await back.read(65_536):
                await self._flowing.wait()
                await self._unmarked(sent)
                if not broken.is_set():
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()

    async def _unmarked(self, sent: bytearray) -> None:
        while self._mark is not None and self._mark in sent:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@contextlib.contextmanager
def link(target: int) -> Iterator[Link]:
    """A link to 127.0.0.1:`target`."""
    made = Link(target)
    made.start()
    try:
        yield made
    finally:
        made.stop()
