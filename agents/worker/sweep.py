"""Reads what a sweep of the join's ledgers needs: in small portions, in a thread, one at a time.

A million requests may expire in one second. Their sweep shares one event loop with every
micro-batch of the worker, so a portion is short, and RocksDB reads in a thread, for one partition
at a time; between two portions a partition takes the input that came meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary

from msgspec import Struct, field

from leverframe.streams.attribution.entries import Entry, decode_entry
from leverframe.streams.attribution.expiry import (
    EXPIRY_END,
    EXPIRY_PREFIX,
    IDS_IN_ONE,
    decode_ids,
    is_due,
)
from leverframe.streams.runtime.ledger import Ledger

__all__ = ["Portion", "Sweeps"]

USUAL_REQUESTS: Final = 2_000
MOST_REQUESTS: Final = 10_000
READ_S: Final = 0.02
TURN_WAIT_S: Final = 0.02
TELL_EVERY_S: Final = 0.5


class Portion(Struct, kw_only=True):
    """What one transaction of a sweep works on.

    Attributes
    ----------
    keys : list of bytes
        Index entries that are due, at least one.
    entries : dict of str to Entry or None
        Their requests; None where the entry is gone already.
    is_last : bool
        Whether nothing more is due.
    is_telling : bool
        Whether traffic is to be told with it: not with each of many portions a second.
    """

    keys: list[bytes] = field(default_factory=list)
    entries: dict[str, Entry | None] = field(default_factory=dict)
    is_last: bool = True
    is_telling: bool = True


class _Run(Struct):
    """How far the portions of a partition are; after a restart the first entry left is the begin.

    ``begin`` is where to look next, since RocksDB would pass over everything deleted before it;
    ``size`` what can be read in ``READ_S``, and ``counted`` the input counted at the last look.
    """

    counted: int
    size: int = USUAL_REQUESTS
    begin: bytes = EXPIRY_PREFIX
    told_s: float = 0.0


class Sweeps:
    """The sweeps of all partitions of a worker.

    Parameters
    ----------
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turn = asyncio.Lock()
        self._runs: WeakKeyDictionary[Ledger, _Run] = WeakKeyDictionary()

    def is_due(self, ledger: Ledger, limit_ms: int) -> bool:
        """Whether a window of a partition has ended.

        Parameters
        ----------
        ledger : Ledger
            Of the partition.
        limit_ms : int
            Stream time: windows that end before it have ended.

        Returns
        -------
        bool
            False also ends the run of portions: the next one looks from the start of the index.
        """
        run = self._runs.setdefault(ledger, _Run(counted=_counted(ledger)))
        if any(is_due(key, limit_ms) for key, _ in ledger.scan(run.begin, EXPIRY_END, 1)):
            return True
        run.begin, run.counted = EXPIRY_PREFIX, _counted(ledger)
        return False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Wait until no other partition reads, but not long: input comes first.

        Yields
        ------
        bool
            Whether it is this partition's turn.
        """
        try:
            async with asyncio.timeout(TURN_WAIT_S):
                await self._turn.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._turn.release()

    async def read(self, ledger: Ledger, limit_ms: int) -> Portion:
        """Read one portion, where something is due.

        It is no larger than what can be read in ``READ_S``, judged by the portion before; but under
        full load as many requests leave as came since that one.

        Parameters
        ----------
        ledger : Ledger
            Of the partition.
        limit_ms : int
            Stream time: windows that end before it have ended.

        Returns
        -------
        Portion
            To be swept and committed.
        """
        run, portion, ids = self._runs[ledger], Portion(), list[str]()
        counted = _counted(ledger)
        most = max(run.size, min(counted - run.counted, MOST_REQUESTS))
        for key, value in ledger.scan(run.begin, EXPIRY_END):
            if not is_due(key, limit_ms):
                break
            if portion.keys and len(ids) >= most:
                portion.is_last = False
                break
            portion.keys.append(key)
            ids += decode_ids(value)
        began_s = self._clock()
        portion.entries = await asyncio.to_thread(_entries, ledger, ids)
        pace = len(ids) / max(self._clock() - began_s, 1e-6)
        run.size = max(IDS_IN_ONE, min(round(pace * READ_S), USUAL_REQUESTS))
        portion.is_telling = run.begin == EXPIRY_PREFIX or began_s - run.told_s >= TELL_EVERY_S
        if portion.is_telling:
            run.told_s = began_s
        run.counted = counted
        run.begin = EXPIRY_PREFIX if portion.is_last else portion.keys[-1]
        return portion


def _counted(ledger: Ledger) -> int:
    """Input records counted so far, and what gaps lie between them."""
    return sum(ledger.positions.offsets.values())


def _entries(ledger: Ledger, ids: list[str]) -> dict[str, Entry | None]:
    """In a thread: RocksDB lets the others go on while it reads."""
    raw = ledger.get_many([request_id.encode() for request_id in ids])
    found = zip(ids, raw, strict=True)
    return {name: None if value is None else decode_entry(value) for name, value in found}
