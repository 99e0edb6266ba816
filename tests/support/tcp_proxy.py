"""A TCP proxy that can delay, refuse and cut."""

import asyncio
from contextlib import asynccontextmanager, suppress


class TcpProxy:
    def __init__(self, host, port):
        self._target = (host, port)
        self._server = None
        self._links = set()
        self._tasks = set()
        self.delay_seconds = 0.0
        self.is_cut = False
        self.loses_answers = False

    @property
    def address(self):
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self):
        """Drop every connection and refuse new ones by closing them."""
        self.is_cut = True
        for writer in list(self._links):
            writer.transport.abort()

    def mend(self):
        self.is_cut = False

    async def start(self):
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)

    async def stop(self):
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, reader, writer):
        # A task of our own: asyncio's reports a cancelled one as an error.
        task = asyncio.create_task(self._accept(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, reader, writer):
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            upstream_reader, upstream = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._links |= {writer, upstream}
        try:
            await asyncio.gather(
                self._pump(reader, upstream, delayed=True),
                self._pump(upstream_reader, writer, delayed=False),
            )
        finally:
            self._links -= {writer, upstream}

    async def _pump(self, reader, writer, *, delayed):
        with suppress(OSError):
            while data := await reader.read(65_536):
                if not delayed and self.loses_answers:
                    break
                if delayed:
                    await asyncio.sleep(self.delay_seconds)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def tcp_proxy(host, port):
    proxy = TcpProxy(host, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
