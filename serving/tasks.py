"""Ends a task for certain, and finds the one whose end nobody was told."""

import asyncio
from contextlib import suppress
from typing import Any, Final

__all__ = ["dead_task", "end_task", "tasks_of"]

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


def tasks_of(consumer: Any) -> "list[asyncio.Task[Any]]":
    """Return what works for a started consumer of aiokafka for as long as it lives.

    Where one of them ends, the consumer says nothing and gives nothing any more.

    Parameters
    ----------
    consumer : AIOKafkaConsumer
        Started.

    Returns
    -------
    list of asyncio.Task
        Those that fetch, that keep the metadata, and that keep the assignment.
    """
    keeping = [
        (consumer._fetcher, "_fetch_task"),  # noqa: SLF001 - nothing public tells of these
        (consumer._client, "_sync_task"),  # noqa: SLF001
        (consumer._coordinator, "_coordination_task"),  # noqa: SLF001
        (consumer._coordinator, "_reset_committed_task"),  # noqa: SLF001
    ]
    found = (getattr(owner, name, None) for owner, name in keeping)
    return [task for task in found if task is not None]


def dead_task(consumer: Any) -> str | None:
    """Say which task of a consumer has ended.

    Parameters
    ----------
    consumer : AIOKafkaConsumer
        Started, and not stopped.

    Returns
    -------
    str or None
        Its name and its error; None while all of them work.
    """
    for task in tasks_of(consumer):
        if task.done():
            error = None if task.cancelled() else task.exception()
            name = getattr(task.get_coro(), "__name__", "a task").strip("_")
            return f"{name} of the Kafka client has ended ({error!r})"
    return None
