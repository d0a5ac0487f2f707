"""Starts the real worker with one fault armed: the hooks sit here and not in the product.

``DRILL_FAULT`` is ``POINT`` or ``POINT@N`` (the N-th time it is reached), with ``AGENT/`` before
it to look at one agent only. There the process says so in the file ``DRILL_MARK`` and is killed by
``SIGKILL``, or frozen by ``SIGSTOP`` when ``DRILL_ACTION`` is ``stop``. ``DRILL_CLOCK_S`` shifts
its wall clock to and fro. ``DRILL_BULK`` sets from how many records a restore is done in bulk.
"""

import functools
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer

import leverframe.agents.worker.membership
from leverframe.agents.cli.main import main
from leverframe.streams.runtime import ledger, open_ledger, restore, store

__all__ = ["POINTS"]

POINTS: Final = (
    "before",  # a micro-batch is computed, no transaction begun
    "begun",  # the transaction is open and empty
    "half-sent",  # a first batch of it is on its way
    "inside",  # all of it was acknowledged, not committed
    "after",  # committed; RocksDB not written
    "stored",  # RocksDB written; the input not acknowledged
    "fenced",  # partition taken over; nothing read
    "restore",  # a step of the changelog is in RocksDB, more is to come
    "bulk",  # a bulk restore is being flushed
    "opened",  # ledger open, nothing done with it
    "revoked",  # a rebalance begins
    "closed",  # the ledgers of a rebalance are closed
    "assigned",  # a rebalance ends
)
_CLOCK_PERIOD_S: Final = 7.0
_agent: ContextVar[str] = ContextVar("agent", default="")


class Fault:
    """What ``DRILL_FAULT`` asks for."""

    def __init__(self, text: str) -> None:
        agent, _, rest = text.rpartition("/")
        self.agent = agent
        self.point, _, count = rest.partition("@")
        self.left = int(count or 1)
        if self.point not in POINTS:
            raise SystemExit(f"no such point: {self.point}; known: {', '.join(POINTS)}")

    def reached(self, point: str) -> None:
        """Do what was asked for, when it is this point and its turn has come."""
        if point != self.point or (self.agent and self.agent != _agent.get()):
            return
        self.left -= 1
        if self.left:
            return
        with Path(os.environ["DRILL_MARK"]).open("a") as mark:
            mark.write(f"{point}\n")
        is_stop = os.environ.get("DRILL_ACTION") == "stop"
        os.kill(os.getpid(), signal.SIGSTOP if is_stop else signal.SIGKILL)


def around(
    owner: Any, name: str, before: Callable[[], None] | None, after: Callable[[], None] | None
) -> None:
    """Call something before and after a coroutine function, in place."""
    inner: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @functools.wraps(inner)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before()
        result = await inner(*args, **kwargs)
        if after is not None:
            after()
        return result

    setattr(owner, name, wrapped)


def arm(fault: Fault) -> None:
    """Put the hooks in place."""
    commits: ContextVar[int] = ContextVar("commits", default=0)

    def within(point: str) -> Callable[[], None]:
        return lambda: fault.reached(point) if commits.get() else None

    around(AIOKafkaProducer, "begin_transaction", None, within("begun"))
    around(AIOKafkaProducer, "commit_transaction", within("inside"), within("after"))
    around(AIOKafkaProducer, "send_batch", None, within("half-sent"))
    around(open_ledger, "restore", lambda: fault.reached("fenced"), None)
    for name, begin, end in (("revoked", "revoked", "closed"), ("assigned", "assigned", None)):
        around(
            leverframe.agents.worker.membership.Membership,
            name,
            functools.partial(fault.reached, begin),
            end and functools.partial(fault.reached, end),
        )
    _arm_ledger(fault, commits)
    _arm_store(fault, commits)


def _arm_ledger(fault: Fault, commits: ContextVar[int]) -> None:
    commit, attempt = ledger.Ledger._make_durable, open_ledger._attempt

    async def committing(self: Any, *args: Any, **kwargs: Any) -> None:
        _agent.set(self._settings.agent)
        fault.reached("before")
        token = commits.set(1)
        try:
            await commit(self, *args, **kwargs)
        finally:
            commits.reset(token)

    async def attempting(settings: Any, *args: Any) -> Any:
        _agent.set(settings.agent)
        opened = await attempt(settings, *args)
        fault.reached("opened")
        return opened

    ledger.Ledger._make_durable = committing  # type: ignore[method-assign]
    open_ledger._attempt = attempting


def _arm_store(fault: Fault, commits: ContextVar[int]) -> None:
    write, flush = store.Store.write, store.Store.flush

    def writing(self: Any, *args: Any) -> None:
        write(self, *args)
        fault.reached("stored" if commits.get() else "restore")

    def flushing(self: Any) -> None:
        fault.reached("bulk")
        flush(self)

    store.Store.write = writing  # type: ignore[method-assign]
    store.Store.flush = flushing  # type: ignore[method-assign]


def shift_clock(by_s: float) -> None:
    """Let wall time jump ahead, back behind, and home, every few seconds."""
    honest, began_s = time.time_ns, time.monotonic()

    def jumping() -> int:
        phase = int((time.monotonic() - began_s) / _CLOCK_PERIOD_S) % 3
        return honest() + round((0, by_s, -by_s)[phase] * 1e9)

    time.time_ns = jumping  # type: ignore[assignment]


if __name__ == "__main__":
    if text := os.environ.get("DRILL_FAULT"):
        arm(Fault(text))
    if by := os.environ.get("DRILL_CLOCK_S"):
        shift_clock(float(by))
    if bulk := os.environ.get("DRILL_BULK"):
        restore._BULK_RECORDS = int(bulk)
        restore._STEP_RECORDS = max(1, int(bulk) // 2)
    main(["worker"])
