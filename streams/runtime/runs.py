"""Runs of records of one topic: what of them is new, and which ledger entries they ask for."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from leverframe.streams.runtime.ledger import Positions

__all__ = ["Run", "gaps_before", "own_keys", "unseen"]

AHEAD_MS: Final = 2_000


class Run(Struct, frozen=True):
    """Raw records of one topic, in their order, at least one."""

    topic: str
    records: Sequence[Any]


def own_keys(runs: Iterable[Run]) -> list[bytes]:
    """Return the keys of records that may have an entry, in order, with repetitions.

    Never empty ones, or such that begin with NUL: those are the ledger's own.
    """
    return [record.key for run in runs for record in run.records if record.key and record.key[0]]


def gaps_before(positions: Positions, runs: Iterable[Run]) -> list[tuple[str, int, int]]:
    """Return topic, position and first offset of each run that does not begin at the position."""
    return [
        (run.topic, counted, run.records[0].offset)
        for run in runs
        if run.records[0].offset > (counted := positions.offsets.get(run.topic, 0))
    ]


def unseen(positions: Positions, runs: Iterable[Run], now_ms: int) -> tuple[list[Run], Positions]:
    """Leave out what was counted before a restart; return the rest, and the positions after it.

    A record whose time is ahead of the wall clock is counted like any other and takes stream time
    along no further than ``AHEAD_MS``: one producer's clock must not close everybody's windows.
    """
    after = msgspec.structs.replace(
        positions, offsets=dict(positions.offsets), times_ms=dict(positions.times_ms)
    )
    latest_ms = now_ms + AHEAD_MS
    fresh = []
    for run in runs:
        topic, records = run.topic, run.records
        counted = after.offsets.get(topic, 0)
        part = (
            records
            if records[0].offset >= counted
            else [record for record in records if record.offset >= counted]
        )
        if part:
            fresh.append(Run(topic, part))
            after.offsets[topic] = part[-1].offset + 1
            newest = min(latest_ms, max(record.timestamp for record in part))
            after.times_ms[topic] = max(after.times_ms.get(topic, 0), newest)
    return fresh, after
