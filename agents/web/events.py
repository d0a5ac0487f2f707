"""Server-sent events: what changed, to somebody who may be slow, or gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import orjson
from aiohttp import web

__all__ = ["or_silence", "send"]

_LONGEST_WRITE_S: Final = 30.0


async def or_silence(changes: Any, longest_s: float) -> AsyncIterator[frozenset[str]]:
    """Yield what changed, and nothing at all when that takes long: so a closed page is noticed."""
    pending: asyncio.Future[frozenset[str]] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(changes))
            done, _ = await asyncio.wait({pending}, timeout=longest_s)
            if done:
                try:
                    changed, pending = pending.result(), None
                except StopAsyncIteration:
                    return
                yield changed
            else:
                yield frozenset()
    finally:
        if pending is not None:
            pending.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await pending
        await changes.aclose()


async def send(stream: web.StreamResponse, event: str, told: Any) -> None:
    """Send a server-sent event; somebody who does not read for long is let go.

    Raises ``TimeoutError`` if nothing could be written for half a minute.
    """
    data = b"event: %s\ndata: %s\n\n" % (event.encode(), orjson.dumps(told))
    await asyncio.wait_for(stream.write(data), _LONGEST_WRITE_S)
