"""Puts dead letters back, each once: what is written and the mark that it was are one transaction.

A letter of one of our own topics goes back there. One of a source is mapped anew, by the settings
as they are now, and becomes records of ours: the source's topic belongs to others.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced
from msgspec import Struct, field

from leverframe.agents.ingest.registry import Registry
from leverframe.agents.operator.dead_letters import MARK, Letter, Place, redriven_offsets
from leverframe.agents.settings import Settings
from leverframe.schemas.dead_letter import HEADER_PREFIX
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.runtime.kafka import client_options, partition_of
from leverframe.streams.sources.compiled import TopicSources, compile_sources, ids_in
from leverframe.streams.sources.documents import Schemas
from leverframe.streams.sources.mapping import Canonical, Fault

__all__ = ["Redriven", "put_back", "why_not"]

_FROM: Final = HEADER_PREFIX + "redriven_from"
# Letters in one transaction: neither too long for the broker nor one for each.
_AT_ONCE: Final = 500


class Sent(Struct, frozen=True):
    """A record that was written for a letter, and where it lies."""

    letter: Letter
    topic: str
    partition: int
    offset: int


class Redriven(Struct):
    """What came of letters that were to be put back.

    Attributes
    ----------
    sent : list of Sent
        What was written.
    passed_over : list of Letter
        Records of a source that its filter does not want any more; they are done with.
    left : dict of Place to str
        Those that stay, and why.
    """

    sent: list[Sent] = field(default_factory=list)
    passed_over: list[Letter] = field(default_factory=list)
    left: dict[Place, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many letters are done with."""
        return len({one.letter.place for one in self.sent}) + len(self.passed_over)


class _Record(Struct):
    """A letter as the record that it was."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class _Written(Struct, frozen=True):
    """A record to be written for a letter."""

    topic: str
    key: bytes
    value: bytes | None


def why_not(settings: Settings, letter: Letter) -> str:
    """Say why a letter cannot be put back; an empty text when it can."""
    topics = settings.topic_names
    own = {topics.predictions, topics.ground_truth, topics.commands}
    sources = {name: source.topic for name, source in settings.sources.items()}
    if letter.topic not in own and letter.topic not in sources.values():
        return f"it came from {letter.topic or 'nowhere that is told'}, which producers do not fill"
    if letter.truncated:
        kept = len(letter.value or b"")
        return f"its value was cut from {letter.truncated:,} to {kept:,} bytes"
    if letter.are_headers_cut:
        return "its headers were too many to be kept"
    if letter.topic in own:
        return "it has no key, and would be set aside again" if letter.key is None else ""
    if letter.path and sources.get(letter.source) != letter.topic:
        return f"the settings have no source {letter.source} on {letter.topic} any more"
    return ""


async def put_back(
    settings: Settings, letters: Sequence[Letter], *, stamp: bool, again: bool = False
) -> Redriven:
    """Put letters back that can be, those that were put back before only if asked to do so again.

    The partition is that of murmur2 for the topic as it is, so that halves of a pair meet wherever
    the record lay before. ``stamp`` gives the present as record time, not the one that it had.
    Raises ``LeverframeError`` where another redrive came in between.
    """
    done = Redriven()
    name = f"{settings.topics.prefix}{settings.app.id}-redrive"
    producer = AIOKafkaProducer(
        **client_options(settings.broker), acks="all", transactional_id=name
    )
    await producer.start()
    try:
        # Whoever redrives beside us is fenced; what he marked is there to be read, and no more.
        await producer.begin_transaction()
        await producer.abort_transaction()
        wanted = await _unmarked(settings, letters, done, again=again)
        for at in range(0, len(wanted), _AT_ONCE):
            await _put(settings, producer, wanted[at : at + _AT_ONCE], done, stamp=stamp)
    except ProducerFenced as error:
        raise LeverframeError(
            "another redrive began meanwhile and has taken over; nothing was put back twice. Look "
            "with leverframe dead-letters list what is left"
        ) from error
    finally:
        await producer.stop()
    return done


async def _unmarked(
    settings: Settings, letters: Sequence[Letter], done: Redriven, *, again: bool
) -> list[Letter]:
    if again:
        return [*letters]
    partitions = {letter.place.partition for letter in letters}
    marked = {one: await redriven_offsets(settings, one) for one in sorted(partitions)}
    wanted = []
    for letter in letters:
        if letter.place.offset in marked[letter.place.partition]:
            done.left[letter.place] = "it was put back before; --again does so again"
        else:
            wanted.append(letter)
    return wanted


async def _put(
    settings: Settings,
    producer: AIOKafkaProducer,
    letters: Sequence[Letter],
    done: Redriven,
    *,
    stamp: bool,
) -> None:
    """Write for some letters, and mark them, in one transaction."""
    made = await _made(settings, letters, done)
    if not made:
        return
    now_ms = time.time_ns() // 1_000_000
    await producer.begin_transaction()
    try:
        sending = []
        for letter, records in made:
            time_ms = now_ms if stamp or letter.timestamp_ms < 0 else letter.timestamp_ms
            for record in records:
                count = len(await producer.partitions_for(record.topic))
                future = await producer.send(
                    record.topic,
                    record.value,
                    key=record.key,
                    partition=partition_of(record.key, count),
                    timestamp_ms=min(time_ms, now_ms),
                    headers=[(_FROM, str(letter.place).encode())],
                )
                sending.append((letter, record.topic, future))
            await producer.send(
                settings.topic_names.dead_letters,
                key=str(letter.place).encode(),
                partition=letter.place.partition,
                headers=[(MARK, str(letter.place).encode())],
            )
        places = [(letter, topic, await future) for letter, topic, future in sending]
    except BaseException:
        # An open transaction would hold up all who read what was committed.
        with suppress(KafkaError):
            await producer.abort_transaction()
        raise
    await producer.commit_transaction()
    done.sent += [Sent(one, topic, at.partition, at.offset) for one, topic, at in places]
    done.passed_over += [letter for letter, records in made if not records]


async def _made(
    settings: Settings, letters: Iterable[Letter], done: Redriven
) -> list[tuple[Letter, list[_Written]]]:
    """What is to be written for each letter; those of which nothing can be made are left."""
    sources = compile_sources(settings.sources, settings.app.max_value_bytes)
    good = [letter for letter in letters if _is_good(settings, letter, done)]
    records = {letter.place: _record(letter) for letter in good if letter.topic in sources}
    schemas = await _schemas(settings, [*records.values()])
    made = []
    for letter in good:
        if letter.topic not in sources:
            made.append((letter, [_Written(letter.topic, letter.key or b"", letter.value)]))
            continue
        own = _mapped(sources[letter.topic], letter, records[letter.place], schemas)
        if isinstance(own, Fault):
            done.left[letter.place] = own.detail
            continue
        topics = settings.topic_names
        names = {"prediction": topics.predictions, "ground-truth": topics.ground_truth}
        found = [_Written(names[one.kind], one.key, one.value) for one in own]
        made.append((letter, found))
    return made


def _is_good(settings: Settings, letter: Letter, done: Redriven) -> bool:
    why = why_not(settings, letter)
    if why:
        done.left[letter.place] = why
    return not why


def _record(letter: Letter) -> _Record:
    return _Record(
        letter.topic,
        letter.partition,
        letter.offset,
        letter.timestamp_ms,
        letter.key,
        letter.value,
        letter.headers,
    )


async def _schemas(settings: Settings, records: Sequence[Any]) -> Schemas:
    ids = ids_in(records)
    if not ids or not settings.registry.url:
        return {}
    registry = Registry(settings.registry)
    try:
        await registry.load(ids)
    finally:
        await registry.close()
    return registry.schemas


def _mapped(
    sources: TopicSources, letter: Letter, record: _Record, schemas: Schemas
) -> list[Canonical] | Fault:
    """What a letter's record means now; the other sources of its topic had it already.

    A record that could not be read at all was read by none of them.
    """
    found: list[Canonical] = []
    for name, mapped in sources.map(record, schemas):
        if letter.path and name != letter.source:
            continue
        if isinstance(mapped, Fault):
            return mapped
        found += mapped
    return found
