"""Where a partition's input is read on: the ledger decides, and what cannot be read is told.

The group's committed offsets are a hint that others may move. So when a ledger has been opened, its
positions are held against what lies on the broker, and each topic is read from there on. Four
things can have happened to a topic meanwhile:

- nothing: it is read on from the position;
- retention, or somebody, removed records that were not read: they are lost, and counted;
- it was deleted and made anew, told by its id, or by an end before the position: positions of the
  old one mean nothing in the new one. The job stops, but for topics that only advise it;
- the ledger is empty although the group has read: its changelog was lost, not new.
"""

from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, Literal

from aiokafka import TopicPartition
from msgspec import Struct, field

from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.kafka import BrokerSettings
from leverframe.streams.runtime.ledger import Positions
from leverframe.streams.runtime.topic_ids import read_topic_ids

__all__ = [
    "InputFacts",
    "InputReader",
    "Resumption",
    "find_renewed",
    "ids_of",
    "renewed_error",
    "resume",
    "resume_source",
]

_START_ANEW: Final = (
    "leverframe restart-from says what will be counted and starts anew above the epoch in force"
)


class InputFacts(Struct, frozen=True):
    """One topic of a partition as it lies on the broker.

    Attributes
    ----------
    topic_id : str
        Empty where the broker knows no ids.
    begin, end : int
        First offset, and the one after the last.
    committed : int
        What the group has committed; 0 for nothing.
    """

    topic_id: str
    begin: int
    end: int
    committed: int = 0


class Resumption(Struct):
    """How a partition goes on.

    Attributes
    ----------
    positions : Positions
        From which to count, with the ids of the topics.
    lost : dict of str to int
        Offsets that were removed before they were read, by topic; markers of transactions among
        them.
    renewed : list of str
        Advisory topics that were made anew; they are read from their begin.
    """

    positions: Positions
    lost: dict[str, int] = field(default_factory=dict)
    renewed: list[str] = field(default_factory=list)


def ids_of(facts: Mapping[str, InputFacts]) -> dict[str, str]:
    """Return the ids of topics, where the broker knows them."""
    return {topic: fact.topic_id for topic, fact in facts.items() if fact.topic_id}


def renewed_error(topic: str, partition: int, why: str) -> LedgerError:
    """Return the error for an input topic that is not the one that was counted."""
    return LedgerError(
        f"{topic}-{partition}: {why}: the topic was deleted and made anew, so what was counted of "
        "it says nothing of what lies there now. Bring the old topic back, or start anew: "
        f"{_START_ANEW}"
    )


def resume(
    positions: Positions,
    facts: Mapping[str, InputFacts],
    partition: int,
    *,
    advisory: Collection[str],
    is_restored: bool,
    now_ms: int,
) -> Resumption:
    """Decide from where each topic is read, at a wall time.

    ``is_restored`` says whether the ledger held anything. Raises ``LedgerError`` where going on
    would count what was never read, or not count what was.
    """
    after = Positions(
        dict(positions.offsets),
        dict(positions.times_ms),
        dict(positions.topic_ids),
        dict(positions.lost),
    )
    resumption = Resumption(after)
    for topic, fact in facts.items():
        counted = positions.offsets.get(topic)
        why = _why_renewed(positions.topic_ids.get(topic, ""), counted or 0, fact)
        if why and topic not in advisory:
            raise renewed_error(topic, partition, why)
        if why:
            resumption.renewed.append(topic)
            after.times_ms.pop(topic, None)
            after.offsets[topic] = fact.begin
        elif counted is None:
            if fact.committed > fact.begin and not is_restored and topic not in advisory:
                raise _lost_ledger(topic, partition, fact)
            after.offsets[topic] = fact.begin
        elif counted < fact.begin:
            resumption.lost[topic] = fact.begin - counted
            after.note_lost(topic, fact.begin - counted, now_ms)
            after.offsets[topic] = fact.begin
        if fact.topic_id:
            after.topic_ids[topic] = fact.topic_id
    return resumption


def resume_source(
    position: int | None, known_id: str, fact: InputFacts, *, begins_latest: bool
) -> tuple[int, Literal["", "renewed", "lost", "forgotten"]]:
    """Decide from where a topic that is not ours is read, and say what happened to it.

    A source that was made anew holds new records, and is read from its begin. Where the position is
    gone although the group has read, what the group committed says nearly the same: a second of
    records is written twice at most, and counts once.
    """
    if position is None:
        if fact.committed > fact.begin:
            return fact.committed, "forgotten"
        return (fact.end if begins_latest else fact.begin), ""
    if _why_renewed(known_id, position, fact):
        return fact.begin, "renewed"
    if position < fact.begin:
        return fact.begin, "lost"
    return position, ""


def _why_renewed(known_id: str, counted: int, fact: InputFacts) -> str:
    if known_id and fact.topic_id and known_id != fact.topic_id:
        return f"its id is {fact.topic_id}, it was {known_id}"
    if counted > fact.end:
        return f"{counted} offsets were counted, it ends at {fact.end}"
    return ""


def _lost_ledger(topic: str, partition: int, fact: InputFacts) -> LedgerError:
    return LedgerError(
        f"{topic}-{partition}: the group has read up to offset {fact.committed}, but the ledger of "
        "this partition is empty: its changelog was deleted or lost, or another [app] id has read "
        "these topics before. Statistics would begin at nothing and epochs at 0, which live "
        "subscribers ignore. With an intact [app] datadir: leverframe state rebuild writes the "
        f"changelog again. Else {_START_ANEW}"
    )


def find_renewed(known: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return topics that have another id now; one that is gone may come back."""
    return [topic for topic, topic_id in known.items() if now.get(topic, topic_id) != topic_id]


class InputReader:
    """Asks the broker about input topics, by a client of its own that belongs to no group."""

    def __init__(self, broker: BrokerSettings, group: str) -> None:
        self._broker = broker
        self._group = group
        self._open = AsyncExitStack()
        self._consumer: Any = None

    async def start(self) -> None:
        """Connect; again after ``stop``."""
        if self._consumer is None:
            # In the group's name, to ask for what it committed; it never joins.
            consuming = open_consumer(self._broker, group_id=self._group)
            self._consumer = await self._open.enter_async_context(consuming)

    async def stop(self) -> None:
        """Disconnect."""
        self._consumer = None
        await self._open.aclose()

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the ids of those topics that exist."""
        await self.start()
        return await read_topic_ids(self._consumer._client, topics)  # noqa: SLF001

    async def facts(self, topics: Collection[str], partition: int) -> dict[str, InputFacts]:
        """Return what lies in one partition of each topic."""
        await self.start()
        tps = [TopicPartition(topic, partition) for topic in topics]
        ids = await self.topic_ids(topics)
        begins = await self._consumer.beginning_offsets(tps)
        ends = await self._consumer.end_offsets(tps)
        return {
            tp.topic: InputFacts(
                ids.get(tp.topic, ""),
                begins[tp],
                ends[tp],
                await self._committed(tp),
            )
            for tp in tps
        }

    async def begins(self, partitions: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the first offset that is kept in each of these partitions, in one question."""
        await self.start()
        tps = [TopicPartition(*one) for one in partitions]
        return {tuple(tp): at for tp, at in (await self._consumer.beginning_offsets(tps)).items()}

    async def offsets_at(self, topic: str, count: int, time_ms: int) -> dict[int, int]:
        """Return the first offset from a time on in each of ``count`` partitions, else the end."""
        await self.start()
        tps = [TopicPartition(topic, partition) for partition in range(count)]
        found = await self._consumer.offsets_for_times(dict.fromkeys(tps, time_ms))
        ends = await self._consumer.end_offsets(tps)
        return {tp.partition: ends[tp] if found[tp] is None else found[tp].offset for tp in tps}

    async def _committed(self, tp: TopicPartition) -> int:
        return await self._consumer.committed(tp) or 0
