"""A small TCP proxy between workers and a broker: it can cut, slow down, and let go on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

__all__ = ["Proxy", "proxied"]

_CHUNK: Final = 64 << 10


class Proxy:
    """Passes bytes between a port of its own and a broker's.

    Parameters
    ----------
    to_port : int
        The broker's, on the loopback address.

    Attributes
    ----------
    port : int
        Where it listens.
    delay_s : float
        Each way, for every piece of data.
    """

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        self.port = 0
        self.delay_s = 0.0
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._pipes: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a port that the system chooses."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more and drop what is connected."""
        if self._server is not None:
            self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def hang(self) -> None:
        """Let nothing through, without a word: connections stay, as behind a lost route."""
        self._is_open.clear()

    def cut(self) -> None:
        """Drop every connection and answer none until ``mend``."""
        self._is_open.clear()
        for pipe in list(self._pipes):
            pipe.cancel()

    def mend(self) -> None:
        """Let everything through again, at full speed."""
        self.delay_s = 0.0
        self._is_open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._pipes.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._connect(reader, writer)
        self._pipes.discard(task)
        writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._is_open.wait()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        try:
            ways = [
                asyncio.create_task(self._pass(reader, far_writer)),
                asyncio.create_task(self._pass(far_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            far_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._is_open.wait()
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxied(ports: list[int]) -> AsyncIterator[list[Proxy]]:
    """Give one proxy for each port."""
    proxies = [Proxy(port) for port in ports]
    for proxy in proxies:
        await proxy.start()
    try:
        yield proxies
    finally:
        for proxy in proxies:
            await proxy.stop()
