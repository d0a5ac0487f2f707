"""Tells clients that they should ask again: the protocol's event streams (SSE).

Weights of a route that learns move all the time; so changes are told once a second at most, but
those that somebody waits for (a rollback, a promotion, a command, safe weights) at once.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import orjson

__all__ = ["Notices", "event"]

_PACE_S: Final = 1.0
# Proxies close what is silent, and a client that has gone is noticed by writing to it.
_STILL_HERE_S: Final = 15.0
_STILL_HERE: Final = b": still here\n\n"
_RECONNECT_MS: Final = 1000


def event(revision: str, changed_s: int) -> bytes:
    r"""Return one event of the stream.

    Examples
    --------
    >>> event("0f", 1771622898).decode().splitlines()[1]
    'data: {"type":"refetchEvaluation","etag":"0f","lastModified":1771622898}'
    """
    data = orjson.dumps({"type": "refetchEvaluation", "etag": revision, "lastModified": changed_s})
    return b"id: %s\ndata: %s\n\n" % (revision.encode(), data)


class Notices:
    """What was told last, and who waits for more.

    Parameters
    ----------
    clock_s : callable
        Seconds since the epoch.
    """

    def __init__(self, clock_s: Callable[[], float] = time.time) -> None:
        self._clock_s = clock_s
        self._told = ""
        self._next = ""
        self._changed_s = 0
        self._told_s = float("-inf")
        self._later: asyncio.TimerHandle | None = None
        self._turn = asyncio.Event()
        self._moved = asyncio.Event()
        self._is_over = False
        self.followers = 0

    def put(self, revision: str, *, is_urgent: bool) -> None:
        """Take a changed revision, and tell it when it is due."""
        self._next = revision
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        loop = asyncio.get_running_loop()
        due_s = self._told_s + _PACE_S
        if is_urgent or loop.time() >= due_s:
            self._tell()
        elif self._later is None:
            self._later = loop.call_at(due_s, self._tell)

    def end(self) -> None:
        """End every stream: the process stops."""
        self._is_over = True
        self._wake()

    async def follow(self, known: str) -> AsyncIterator[bytes]:
        """Yield what is to be sent, from ``known`` on: the client's ``Last-Event-ID``, or empty."""
        self.followers += 1
        try:
            yield b"retry: %d\n\n" % _RECONNECT_MS
            while not self._is_over:
                turn = self._turn
                if self._told not in ("", known):
                    known = self._told
                    yield event(known, self._changed_s)
                    continue
                try:
                    await asyncio.wait_for(turn.wait(), _STILL_HERE_S)
                except TimeoutError:
                    yield _STILL_HERE
        finally:
            self.followers -= 1

    async def reached(self, revision: str, patience_s: float) -> None:
        """Wait until a revision that another replica told is ours too, or patience ends."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + patience_s
        while self._next != revision and (left_s := deadline_s - loop.time()) > 0:
            try:
                await asyncio.wait_for(self._moved.wait(), left_s)
            except TimeoutError:
                return

    def _tell(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._told_s = asyncio.get_running_loop().time()
        if self._told != self._next:
            self._told = self._next
            self._changed_s = int(self._clock_s())
            self._wake()

    def _wake(self) -> None:
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()
