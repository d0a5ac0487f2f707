"""How long tests wait: for a condition, looked at again and again, and never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

__all__ = ["PATIENCE_S", "eventually", "until"]

# What takes longest takes 30 s on two quiet cores. This stands a machine five times slower, and is
# waited only where something is lost; pytest's own timeout (pyproject.toml) is above it.
PATIENCE_S: Final = 150.0

_LOOK_S: Final = 0.05

T = TypeVar("T")


def until(condition: Callable[[], T], what: str | Callable[[], Any]) -> T:
    """Wait until something is true, and return it; ``what`` says what did not come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, _told(what)
        time.sleep(_LOOK_S)
    return found


async def eventually(condition: Callable[[], Awaitable[T]], what: str | Callable[[], Any]) -> T:
    """As ``until``, where looking is a coroutine."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := await condition()):
        assert time.monotonic() < deadline, _told(what)
        await asyncio.sleep(_LOOK_S)
    return found


def _told(what: str | Callable[[], Any]) -> str:
    return f"not within {PATIENCE_S:.0f} s: {what if isinstance(what, str) else what()}"
