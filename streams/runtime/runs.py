"""Runs of records of one topic: what of them is new, and which ledger entries they ask for."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.ledger import Positions

__all__ = ["Run", "own_keys", "unseen"]


class Run(Struct, frozen=True):
    """Raw records of one topic, in their order, at least one."""

    topic: str
    records: Sequence[Any]


def own_keys(runs: Iterable[Run]) -> list[bytes]:
    """Return the keys of records that may have an entry, in order, with repetitions.

    Never empty ones, or such that begin with NUL: those are the ledger's own.
    """
    return [record.key for run in runs for record in run.records if record.key and record.key[0]]


def unseen(positions: Positions, runs: Iterable[Run]) -> tuple[list[Run], Positions]:
    """Leave out what was counted before a restart; return the rest, and the positions after it.

    Raises ``LedgerError`` if new records come with offsets that were counted: the topic was made
    anew.
    """
    after = Positions(dict(positions.offsets), dict(positions.times_ms))
    fresh = []
    for run in runs:
        topic, records = run.topic, run.records
        counted = after.offsets.get(topic, 0)
        part = (
            records
            if records[0].offset >= counted
            else [record for record in records if record.offset >= counted]
        )
        if len(part) < len(records):
            _refuse_new_topic(topic, records[: len(records) - len(part)], positions)
        if part:
            fresh.append(Run(topic, part))
            after.offsets[topic] = part[-1].offset + 1
            newest = max(record.timestamp for record in part)
            after.times_ms[topic] = max(after.times_ms.get(topic, 0), newest)
    return fresh, after


def _refuse_new_topic(topic: str, seen: Sequence[Any], positions: Positions) -> None:
    """Records that were counted before cannot be newer than the newest that was counted."""
    newest = max(record.timestamp for record in seen)
    if newest > positions.times_ms.get(topic, 0):
        raise LedgerError(
            f"{topic}-{seen[0].partition}: a new record has offset {seen[0].offset}, but "
            f"{positions.offsets[topic]} were counted: the topic was made anew or truncated. Start "
            "under a new [app] id, which begins with empty statistics, or bring the topic back."
        )
