"""Reads what was set aside, and puts it back where it came from."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from msgspec import Struct

from leverframe.agents.operator.topics import read_back
from leverframe.agents.settings import Settings
from leverframe.schemas.dead_letter import HEADER_PREFIX
from leverframe.streams.runtime.kafka import client_options, partition_of

__all__ = [
    "Letter",
    "Place",
    "newest_letters",
    "older_than_window",
    "put_back",
    "read_letter",
    "why_not",
]

_REDRIVEN: Final = HEADER_PREFIX + "redriven_from"


class Place(NamedTuple):
    """Where a dead letter lies.

    Attributes
    ----------
    partition, offset : int
        In the topic ``dead-letters``.
    """

    partition: int
    offset: int

    def __str__(self) -> str:
        """Return it as the command line takes it."""
        return f"{self.partition}:{self.offset}"


class Letter(Struct, frozen=True, kw_only=True):
    """A dead letter, as it was read.

    Attributes
    ----------
    place : Place
        Of the letter itself.
    set_aside_at_ms : int
        Its record time.
    reason, detail : str
        Why; empty where the record has no such header.
    topic : str
        Where the record came from; empty where that is not told.
    partition, offset, timestamp_ms : int
        Likewise; -1 where that is not told.
    truncated : int
        Bytes that the value had, where it was cut; else 0.
    key, value : bytes or None
        As they came.
    """

    place: Place
    set_aside_at_ms: int
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    truncated: int
    key: bytes | None
    value: bytes | None


def _letter(record: Any) -> Letter:
    told = {
        name.removeprefix(HEADER_PREFIX): (value or b"").decode("utf-8", "backslashreplace")
        for name, value in record.headers
        if name.startswith(HEADER_PREFIX)
    }
    return Letter(
        place=Place(record.partition, record.offset),
        set_aside_at_ms=record.timestamp,
        reason=told.get("reason", ""),
        detail=told.get("detail", ""),
        topic=told.get("topic", ""),
        partition=_number(told.get("partition", "")),
        offset=_number(told.get("offset", "")),
        timestamp_ms=_number(told.get("timestamp_ms", "")),
        truncated=max(0, _number(told.get("truncated", ""))),
        key=record.key,
        value=record.value,
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1


async def newest_letters(
    settings: Settings, partitions: int, is_wanted: Callable[[Letter], bool], last: int | None
) -> list[Letter]:
    """Read dead letters back from the end, the newest ``last`` of those wanted, oldest first."""
    found: list[Letter] = []
    for partition in range(partitions):
        letters: list[Letter] = []

        def keep(record: Any, letters: list[Letter] = letters) -> bool:
            letter = _letter(record)
            if is_wanted(letter):
                letters.append(letter)
            return False  # the record itself is let go

        def is_enough(_: list[Any], letters: list[Letter] = letters) -> bool:
            return last is not None and len(letters) >= last

        tp = TopicPartition(settings.topic_names.dead_letters, partition)
        await read_back(settings.broker, tp, keep, is_enough)
        # A portion is read to its end and a little beyond.
        found += {letter.place: letter for letter in letters}.values()
    found.sort(key=lambda letter: (letter.set_aside_at_ms, letter.place))
    return found if last is None else found[max(0, len(found) - last) :]


async def read_letter(settings: Settings, place: Place, partitions: int) -> Letter | None:
    """Read one dead letter; None where nothing lies there, or not any more."""
    if not 0 <= place.partition < partitions:
        return None
    tp = TopicPartition(settings.topic_names.dead_letters, place.partition)
    found: list[Letter] = []

    def keep(record: Any) -> bool:
        if record.offset == place.offset:
            found.append(_letter(record))
        return False

    await read_back(settings.broker, tp, keep, lambda _: bool(found))
    return found[0] if found else None


def why_not(settings: Settings, letter: Letter) -> str:
    """Say why a letter cannot be put back; an empty text when it can."""
    topics = settings.topic_names
    if letter.topic not in {topics.predictions, topics.ground_truth, topics.commands}:
        return f"it came from {letter.topic or 'nowhere that is told'}, which producers do not fill"
    if letter.truncated:
        kept = len(letter.value or b"")
        return f"its value was cut from {letter.truncated:,} to {kept:,} bytes"
    if letter.key is None:
        return "it has no key, and would be set aside again"
    return ""


async def put_back(
    settings: Settings, letters: Sequence[Letter], *, stamp: bool
) -> list[tuple[Letter, int, int]]:
    """Send letters to the topics they came from; return each with partition and offset.

    The partition is that of murmur2 for the topic as it is, so that halves of a pair meet wherever
    the record lay before. ``stamp`` gives the present as record time, not the one that it had.
    """
    producer = AIOKafkaProducer(
        **client_options(settings.broker), acks="all", enable_idempotence=True
    )
    await producer.start()
    try:
        sent = []
        for letter in letters:
            place = await producer.send_and_wait(
                letter.topic,
                letter.value,
                key=letter.key,
                partition=await _partition(producer, letter),
                timestamp_ms=None if stamp or letter.timestamp_ms < 0 else letter.timestamp_ms,
                headers=[(_REDRIVEN, str(letter.place).encode())],
            )
            sent.append((letter, place.partition, place.offset))
        return sent
    finally:
        await producer.stop()


async def _partition(producer: Any, letter: Letter) -> int:
    count = len(await producer.partitions_for(letter.topic))
    return partition_of(letter.key or b"", count)


def older_than_window(settings: Settings, letters: Iterable[Letter], now_ms: int) -> int:
    """Count those that will only count as late: their windows have closed, whatever the route."""
    topics = settings.topic_names
    longest_ms = 1000 * max((route.window_s for route in settings.routes.values()), default=0.0)
    return sum(
        letter.topic in {topics.predictions, topics.ground_truth}
        and 0 <= letter.timestamp_ms < now_ms - longest_ms
        for letter in letters
    )
