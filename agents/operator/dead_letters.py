"""Reads what was set aside, and what of it was put back."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from msgspec import Struct, structs

from leverframe.agents.operator.topics import read_back
from leverframe.agents.settings import Settings
from leverframe.schemas.dead_letter import HEADER_PREFIX

__all__ = [
    "MARK",
    "Letter",
    "Place",
    "newest_letters",
    "older_than_window",
    "read_letter",
    "redriven_offsets",
]

# On a record of the topic itself: the letter at that place was put back.
MARK: Final = HEADER_PREFIX + "redriven"


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
    source, path : str
        Of a source's record: which source, and which of its expressions failed.
    headers : sequence of (str, bytes or None)
        The record's own, where it came from a source.
    are_headers_cut : bool
        Whether they were too many to be kept.
    is_redriven : bool
        Whether it was put back already.
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
    source: str = ""
    path: str = ""
    headers: Sequence[tuple[str, bytes | None]] = ()
    are_headers_cut: bool = False
    is_redriven: bool = False


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
        source=told.get("source", ""),
        path=told.get("path", ""),
        headers=[one for one in record.headers if not one[0].startswith(HEADER_PREFIX)],
        are_headers_cut="headers_cut" in told,
    )


def marked_place(record: Any) -> int | None:
    """Return the offset of the letter that a record says was put back; None for a letter."""
    for name, value in record.headers:
        if name == MARK:
            return _number((value or b"").decode("utf-8", "replace").rpartition(":")[2])
    return None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1


async def newest_letters(
    settings: Settings, partitions: int, is_wanted: Callable[[Letter], bool], last: int | None
) -> list[Letter]:
    """Read dead letters back from the end, the newest ``last`` of those wanted, oldest first."""
    found: list[Letter] = []
    for partition in range(partitions):
        found += await _letters_of(settings, partition, is_wanted, last)
    found.sort(key=lambda letter: (letter.set_aside_at_ms, letter.place))
    return found if last is None else found[max(0, len(found) - last) :]


async def read_letter(settings: Settings, place: Place, partitions: int) -> Letter | None:
    """Read one dead letter; None where nothing lies there, or not any more."""
    if not 0 <= place.partition < partitions:
        return None
    found = await _letters_of(settings, place.partition, lambda one: one.place == place, 1)
    return found[0] if found else None


async def redriven_offsets(settings: Settings, partition: int) -> set[int]:
    """Return the offsets of all letters of a partition that were put back."""
    marked: set[int] = set()

    def keep(record: Any) -> bool:
        if (offset := marked_place(record)) is not None:
            marked.add(offset)
        return False

    tp = TopicPartition(settings.topic_names.dead_letters, partition)
    await read_back(settings.broker, tp, keep, lambda _: False)
    return marked


async def _letters_of(
    settings: Settings, partition: int, is_wanted: Callable[[Letter], bool], last: int | None
) -> list[Letter]:
    letters: dict[Place, Letter] = {}
    # Marks lie behind what they mark, and so are read before it or with it.
    marked: set[int] = set()

    def keep(record: Any) -> bool:
        if (offset := marked_place(record)) is not None:
            marked.add(offset)
        elif is_wanted(letter := _letter(record)):
            letters[letter.place] = letter
        return False  # the record itself is let go

    def is_enough(_: list[Any]) -> bool:
        return last is not None and len(letters) >= last

    tp = TopicPartition(settings.topic_names.dead_letters, partition)
    await read_back(settings.broker, tp, keep, is_enough)
    # A portion is read to its end and a little beyond.
    return [
        structs.replace(one, is_redriven=one.place.offset in marked) for one in letters.values()
    ]


def older_than_window(settings: Settings, letters: Iterable[Letter], now_ms: int) -> int:
    """Count those that will only count as late: their windows have closed, whatever the route."""
    topics = settings.topic_names
    counted = {topics.predictions, topics.ground_truth}
    counted |= {source.topic for source in settings.sources.values()}
    longest_ms = 1000 * max((route.window_s for route in settings.routes.values()), default=0.0)
    return sum(
        letter.topic in counted and 0 <= letter.timestamp_ms < now_ms - longest_ms
        for letter in letters
    )
