"""Says so where a process uses a subscriber that was started before the process was forked.

A fork takes the memory along and no thread: nobody follows ``control`` in the child. Its weights
stay as they are for ``ttl_ms`` and are the safe ones for ever after, which looks like a silent job.
"""

import logging
import os
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakSet

__all__ = ["FORKED", "note_started"]

FORKED: Final = (
    "control topic: this process was forked after its subscriber had started, and hears nothing of "
    "the job: it will stay on the safe weights. Make and start a subscriber in each process, after "
    "the fork (gunicorn: in post_worker_init, or without preload_app)"
)

log = logging.getLogger(__name__)

_started: Final[WeakSet[Any]] = WeakSet()


def note_started(subscriber: Any) -> None:
    """Remember a subscriber, for the children of this process.

    Parameters
    ----------
    subscriber : Subscriber
        In a child its ``is_forked`` is set, and what is asked first of it logs ``FORKED``, once.
    """
    subscriber.is_forked = False
    _started.add(subscriber)


def _after_fork() -> None:
    for subscriber in list(_started):
        subscriber.is_forked = True
        subscriber.assign = _complaining(subscriber, "assign")
        subscriber.in_force = _complaining(subscriber, "in_force")


def _complaining(subscriber: Any, name: str) -> Callable[..., Any]:
    table = subscriber.table

    def ask(*arguments: Any) -> Any:
        subscriber.assign, subscriber.in_force = table.assign, table.in_force
        log.error(FORKED, extra={"event": "forked"})
        return getattr(table, name)(*arguments)

    return ask


# A child that never asks the subscriber, such as one of multiprocessing, says nothing.
os.register_at_fork(after_in_child=_after_fork)
