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

from msgspec import Struct, field

from leverframe.streams.attribution.entries import Kept
from leverframe.streams.attribution.expiry import (
    EXPIRY_END,
    EXPIRY_PREFIX,
    IDS_IN_ONE,
    decode_ids,
    is_due,
)
from leverframe.streams.attribution.packed import decode_entry
from leverframe.streams.runtime.ledger import Ledger

__all__ = ["DueReader", "Portion", "Turn"]

USUAL_REQUESTS: Final = 2_000
MOST_REQUESTS: Final = 10_000
READ_S: Final = 0.02
TURN_WAIT_S: Final = 0.02
TRAFFIC_EVERY_S: Final = 0.5


class Portion(Struct, kw_only=True):
    """What one transaction of a sweep works on.

    Attributes
    ----------
    keys : list of bytes
        Index entries that are due, at least one.
    entries : dict of str to Kept or None
        Their requests; None where the entry is gone already.
    is_last : bool
        Whether nothing more is due.
    has_traffic : bool
        Whether traffic goes out with it: not with each of many portions a second.
    """

    keys: list[bytes] = field(default_factory=list)
    entries: dict[str, Kept | None] = field(default_factory=dict)
    is_last: bool = True
    has_traffic: bool = True


class Turn:
    """Shared by the partitions of a worker: one of them reads at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[bool]:
        """Wait until no other partition reads, but not long: input comes first.

        Yields whether it is this partition's turn.
        """
        try:
            async with asyncio.timeout(TURN_WAIT_S):
                await self._lock.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._lock.release()


class DueReader:
    """Reads what is due in one partition's ledger; ``clock`` gives seconds that never go back.

    Nothing of it is stored: after a restart the first entry that is left is the begin.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        # Where to look next, since RocksDB would pass over everything deleted before it.
        self._begin = EXPIRY_PREFIX
        # What can be read in READ_S.
        self._size = USUAL_REQUESTS
        # Input counted at the last look; None before the first.
        self._counted: int | None = None
        self._traffic_s = 0.0

    def is_due(self, limit_ms: int) -> bool:
        """Whether a window has ended before ``limit_ms``, stream time.

        Where none has, the run of portions ends: the next one looks from the start of the index.
        """
        if self._counted is None:
            self._counted = _counted(self._ledger)
        if any(is_due(key, limit_ms) for key, _ in self._ledger.scan(self._begin, EXPIRY_END, 1)):
            return True
        self._begin, self._counted = EXPIRY_PREFIX, _counted(self._ledger)
        return False

    async def read(self, limit_ms: int) -> Portion:
        """Read a portion, where ``is_due``, to be swept and committed.

        It is no larger than what can be read in ``READ_S``, judged by the portion before; but under
        full load as many requests leave as came since that one.
        """
        portion, ids = Portion(), list[str]()
        counted = _counted(self._ledger)
        came = 0 if self._counted is None else counted - self._counted
        most = max(self._size, min(came, MOST_REQUESTS))
        for key, value in self._ledger.scan(self._begin, EXPIRY_END):
            if not is_due(key, limit_ms):
                break
            if portion.keys and len(ids) >= most:
                portion.is_last = False
                break
            portion.keys.append(key)
            ids += decode_ids(value)
        began_s = self._clock()
        portion.entries = await asyncio.to_thread(_entries, self._ledger, ids)
        pace = len(ids) / max(self._clock() - began_s, 1e-6)
        self._size = max(IDS_IN_ONE, min(round(pace * READ_S), USUAL_REQUESTS))
        is_first = self._begin == EXPIRY_PREFIX
        portion.has_traffic = is_first or began_s - self._traffic_s >= TRAFFIC_EVERY_S
        if portion.has_traffic:
            self._traffic_s = began_s
        self._counted = counted
        self._begin = EXPIRY_PREFIX if portion.is_last else portion.keys[-1]
        return portion


def _counted(ledger: Ledger) -> int:
    """Input records counted so far, and what gaps lie between them."""
    return sum(ledger.positions.offsets.values())


def _entries(ledger: Ledger, ids: list[str]) -> dict[str, Kept | None]:
    """In a thread: RocksDB lets the others go on while it reads."""
    raw = ledger.get_many([request_id.encode() for request_id in ids])
    found = zip(ids, raw, strict=True)
    return {name: None if value is None else decode_entry(value) for name, value in found}
