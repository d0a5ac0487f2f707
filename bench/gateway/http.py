"""A plain HTTP/1.1 client for load: it works as little as it can, since it is not measured.

Requests are written whole, answers are cut off by their content-length; a connection carries one
request at a time, as OpenFeature's clients do.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, cast

import numpy as np

__all__ = ["Connection", "closed_loop", "open_loop", "request"]

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "


def request(path: str, body: bytes, media: str = "application/json", **headers: str) -> bytes:
    """Return the bytes of a POST."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media}\r\n{more}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One connection; answers are handed to whoever waits."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport
        self._waiting: asyncio.Future[tuple[int, int]] | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Connect."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, host, port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        self._transport = cast("asyncio.Transport", transport)

    def close(self) -> None:
        """Disconnect."""
        self._transport.close()

    def send(self, raw: bytes) -> "asyncio.Future[tuple[int, int]]":
        """Send a request; the future holds status and length of its answer."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        """Cut off an answer once it is whole."""
        self._buffer += data
        end = self._buffer.find(_END)
        if end < 0:
            return
        at = self._buffer.find(_LENGTH, 0, end)
        length = int(self._buffer[at + len(_LENGTH) : self._buffer.find(b"\r\n", at)])
        if len(self._buffer) < end + len(_END) + length:
            return
        status = int(self._buffer[9:12])
        self._buffer = b""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.set_result((status, length))


async def closed_loop(
    connections: Sequence[Connection], requests: Sequence[bytes], seconds: float
) -> tuple[float, set[int]]:
    """Send on each connection as soon as it is answered; return answers a second, and statuses."""
    end_s = time.perf_counter() + seconds
    statuses: set[int] = set()
    counts = [0] * len(connections)

    async def work(number: int) -> None:
        connection = connections[number]
        at = number * 977
        while time.perf_counter() < end_s:
            status, _ = await connection.send(requests[at % len(requests)])
            statuses.add(status)
            counts[number] += 1
            at += 1

    began_s = time.perf_counter()
    await asyncio.gather(*(work(number) for number in range(len(connections))))
    return sum(counts) / (time.perf_counter() - began_s), statuses


async def open_loop(
    connections: Sequence[Connection], requests: Sequence[bytes], per_s: float, seconds: float
) -> tuple["np.ndarray", set[int]]:
    """Send at due times whatever was answered before; return latencies from them, in ms."""
    free = deque(connections)
    queue: deque[tuple[float, bytes]] = deque()
    took: list[float] = []
    statuses: set[int] = set()
    began = time.perf_counter()

    def dispatch() -> None:
        while queue and free:
            due, raw = queue.popleft()
            connection = free.popleft()
            connection.send(raw).add_done_callback(lambda f, d=due, c=connection: done(f, d, c))

    def done(answer: "asyncio.Future[tuple[int, int]]", due: float, connection: Connection) -> None:
        took.append((time.perf_counter() - due) * 1000)
        statuses.add(answer.result()[0])
        free.append(connection)
        dispatch()

    count = int(per_s * seconds)
    for number in range(count):
        due = began + number / per_s
        while (ahead := due - time.perf_counter()) > 0:
            # Sleeping is a millisecond coarse: the last of it is spent in turns of the loop.
            await asyncio.sleep(ahead - 0.001 if ahead > 0.0015 else 0)
        queue.append((due, requests[number % len(requests)]))
        dispatch()
    while len(took) < count:
        await asyncio.sleep(0.01)
    return np.array(took), statuses
