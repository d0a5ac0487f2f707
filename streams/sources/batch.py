"""One micro-batch of a source topic: records of ours, dead letters, and counts. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct, field

from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.trace_context import trace_headers
from leverframe.streams.sources.compiled import TopicSources
from leverframe.streams.sources.documents import Schemas
from leverframe.streams.sources.mapping import Canonical, Fault, Mapped

__all__ = ["Ingested", "ingest", "letter_of"]


class Ingested(Struct):
    """What a micro-batch becomes.

    Attributes
    ----------
    records : list of (Canonical, int, list of (str, bytes))
        Each with the record time of what it was made of, ms since the epoch, and the headers that
        say its trace, in order.
    dead_letters : list of DeadLetter
        What could not be mapped.
    counts : Counter of (str, str)
        By source and ``mapped``, ``passed_over`` or ``faulty``: records, not what they became.
    """

    records: list[tuple[Canonical, int, list[tuple[str, bytes]]]] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


def ingest(
    sources: TopicSources, records: Iterable[Any], schemas: Schemas, now_ms: int
) -> Ingested:
    """Map records; the time of one that is ahead of ``now_ms``, or that has none, is the present.

    The broker would refuse a time ahead, and with it all that is written together.
    """
    done = Ingested()
    made, counts = done.records, done.counts
    for record, name, mapped in _each(sources, records, schemas):
        if isinstance(mapped, Fault):
            done.dead_letters.append(letter_of(record, mapped))
            counts[name, "faulty"] += 1
        elif mapped:
            time_ms = record.timestamp
            time_ms = time_ms if 0 <= time_ms <= now_ms else now_ms
            traced = trace_headers(record.headers) if record.headers else []
            made += [(one, time_ms, traced) for one in mapped]
            counts[name, "mapped"] += 1
        else:
            counts[name, "passed_over"] += 1
    return done


def _each(
    sources: TopicSources, records: Iterable[Any], schemas: Schemas
) -> Iterator[tuple[Any, str, Mapped]]:
    """What each source makes of each record; nearly every topic has one source."""
    if len(sources.sources) == 1:
        [source] = sources.sources
        name, map_one = source.name, source.map
        return ((record, name, map_one(record, schemas)) for record in records)
    return ((r, name, mapped) for r in records for name, mapped in sources.map(r, schemas))


def letter_of(record: Any, fault: Fault) -> DeadLetter:
    """Set a record aside with its fault, its raw bytes and its own headers."""
    return DeadLetter(
        key=record.key,
        value=record.value,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        reason=fault.reason,
        detail=fault.detail,
        source=fault.source,
        path=fault.path,
        own_headers=record.headers,
    )
