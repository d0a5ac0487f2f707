"""Reads the audit: what was asked of routes and decided on them, in order of time."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from msgspec import Struct

from leverframe.agents.operator.topics import read_since
from leverframe.agents.settings import Settings
from leverframe.schemas.audit import AuditEvent
from leverframe.schemas.codec import DECODE_ERRORS, decoder
from leverframe.streams.runtime.kafka import partition_of

__all__ = ["AuditRead", "read_audit"]

# An event is written after its own time, but for clocks: producers' may be ahead by five minutes.
_CLOCKS_MS: Final = 600_000
_decode: Final = decoder(AuditEvent)


class AuditRead(Struct, frozen=True):
    """What was found.

    Attributes
    ----------
    events : sequence of AuditEvent
        Those wanted, by time.
    unreadable : sequence of str
        Places of records that are no event that this version knows.
    """

    events: Sequence[AuditEvent]
    unreadable: Sequence[str]


async def read_audit(
    settings: Settings,
    route: str | None,
    since_ms: int,
    is_wanted: Callable[[AuditEvent], bool],
) -> AuditRead:
    """Read all events that are wanted, of one route or of all, from a time on."""
    topic, count = settings.topic_names.audit, settings.topics.route_partitions
    of_route = range(count) if route is None else [partition_of(route.encode(), count)]
    unreadable: list[str] = []

    def keep(record: Any) -> tuple[int, int, int, AuditEvent] | None:
        try:
            event = _decode(record.value or b"")
        except DECODE_ERRORS:
            unreadable.append(f"{record.partition}:{record.offset}")
            return None
        is_meant = route in {None, event.route} and event.at_ms >= since_ms and is_wanted(event)
        return (event.at_ms, record.partition, record.offset, event) if is_meant else None

    partitions = [TopicPartition(topic, partition) for partition in of_route]
    found = await read_since(settings.broker, partitions, since_ms - _CLOCKS_MS, keep)
    found.sort(key=lambda each: each[:3])
    return AuditRead([event for *_, event in found], unreadable)
