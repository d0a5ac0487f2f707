"""Ends a task for certain."""

import asyncio
from contextlib import suppress
from typing import Any, Final

__all__ = ["end_task"]

_PATIENCE_S: Final = 1.0


async def end_task(task: "asyncio.Task[Any]") -> None:
    """Cancel a task until it has ended, and forget how it did.

    A cancellation may be lost where it meets the end of what the task waits for (asyncio.wait_for
    before Python 3.12, and what is built on it); whoever waits for such a task waits for ever.

    Parameters
    ----------
    task : asyncio.Task
        Any.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE_S)
    with suppress(asyncio.CancelledError, Exception):
        task.result()
