"""A few records of every five minutes of a topic, where reading it whole would take too long."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition

__all__ = ["SAMPLED_EVERY_MS", "SAMPLING", "offsets_at", "samples"]

SAMPLED_EVERY_MS: Final = 300_000

# What is fetched beyond a sample is thrown away.
SAMPLING: Final[Mapping[str, Any]] = {
    "max_partition_fetch_bytes": 64 << 10,
    "fetch_max_wait_ms": 20,
}
"""Options of a consumer that samples."""

_STEP_RECORDS: Final = 500
# Between two heartbeats of a calm route lie many decisions of a hot one.
_MOST_RECORDS: Final = 4_000
_WAIT_MS: Final = 1_000
_PAUSE_S: Final = 0.002


async def offsets_at(
    consumer: Any, partitions: Iterable[TopicPartition], at_ms: int
) -> dict[TopicPartition, int]:
    """Return the offset of the first record that is not older, by partition."""
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, at_ms))
    missing = [tp for tp in partitions if found.get(tp) is None]
    ends = await consumer.end_offsets(missing) if missing else {}
    return {tp: ends[tp] if tp in ends else found[tp].offset for tp in partitions}


async def samples(
    consumer: Any, tp: TopicPartition, until: int, times_ms: Iterable[int]
) -> AsyncIterator[tuple[int, list[Any]]]:
    """Yield a record of each key of a partition soon after each time."""
    consumer.assign([tp])
    # A route that was missed once is looked for again; one that has gone is not for long.
    before: set[bytes] = set()
    last: set[bytes] = set()
    for at_ms in times_ms:
        offset = (await offsets_at(consumer, [tp], at_ms))[tp]
        if offset >= until:
            return
        consumer.seek(tp, offset)
        found = await _sample(consumer, tp, at_ms + SAMPLED_EVERY_MS, before | last)
        before, last = last, set(found)
        yield at_ms, list(found.values())


async def _sample(
    consumer: Any, tp: TopicPartition, until_ms: int, expected: set[bytes]
) -> dict[bytes, Any]:
    """Until all keys of the samples before are there; at first, all that is looked at."""
    found: dict[bytes, Any] = {}
    looked_at = 0
    while looked_at < _MOST_RECORDS and (not expected or expected - found.keys()):
        fetched = await consumer.getmany(tp, timeout_ms=_WAIT_MS, max_records=_STEP_RECORDS)
        records = fetched.get(tp, [])
        for record in records:
            if record.timestamp < until_ms:
                found.setdefault(record.key, record)
        looked_at += len(records)
        await asyncio.sleep(_PAUSE_S)
        if not records or records[-1].timestamp >= until_ms:
            break
    return found
