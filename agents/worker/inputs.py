"""Keeps ledgers and input topics together: where reading begins, what was lost, what is another."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError
from faust.types import TP
from msgspec import Struct

from leverframe.agents.settings import Settings
from leverframe.agents.worker.published import refuse_old_statistics
from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.inputs import (
    InputReader,
    find_renewed,
    renewed_error,
    resume,
    resume_source,
)
from leverframe.streams.runtime.ledger import Ledger, Positions
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.runtime.positions import PositionLedger
from leverframe.streams.runtime.runs import Run, gaps_before
from leverframe.streams.sources.compiled import TopicSources

__all__ = ["Inputs"]

log = make_logger()

WATCH_S: Final = 2.0
# A topic that is made anew is gone for a moment.
_GONE_S: Final = 10.0
_MOST_GAPS: Final = 1_000


class Gap(Struct, frozen=True):
    """Offsets between what was counted and what was fetched next: markers, or lost records."""

    ledger: Ledger | PositionLedger
    topic: str
    counted: int
    fetched: int


class Inputs:
    """The input topics of a worker, by agent; ``on_failure`` ends the process.

    ``lost`` counts, by topic, the offsets that were removed before they were read.
    """

    def __init__(
        self,
        app: Any,
        settings: Settings,
        by_agent: Mapping[str, tuple[str, ...]],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        topics = settings.topic_names
        # Each with 0 from the begin: a series that begins with its first loss shows no rise.
        self.lost = Counter(dict.fromkeys((one for own in by_agent.values() for one in own), 0))
        self._app = app
        self._by_agent = by_agent
        self._settings = settings
        self._advisory = {topics.control_acks, topics.traffic}
        # Made anew, these are read from their begin; without them the rest goes on.
        self._advisory |= {source.topic for source in settings.sources.values()}
        self._on_failure = on_failure
        self._reader = InputReader(settings.broker, topics.prefix + settings.app.id)
        self._ids: dict[str, str] = {}
        self._gone_since_s: dict[str, float] = {}
        self._gaps: deque[Gap] = deque(maxlen=_MOST_GAPS)
        # How often an advisory topic was made anew: a partition that knows less begins again.
        self._renewals = 0

    async def begin(self, agent: str, ledger: Ledger) -> None:
        """Let the consumer read a partition on from where its ledger stands.

        Raises ``LedgerError`` where a topic is not the one that was counted.
        """
        topics, partition = self._by_agent[agent], ledger.partition
        facts = await self._reader.facts(topics, partition)
        if agent == "learning":
            await refuse_old_statistics(self._settings, ledger)
        resumption = resume(
            ledger.positions,
            facts,
            partition,
            advisory=self._advisory,
            is_restored=bool(ledger.positions.offsets),
            now_ms=time.time_ns() // 1_000_000,
        )
        for topic, count in resumption.lost.items():
            self._note_lost(topic, partition, count)
        for topic in resumption.renewed:
            self._note_renewed(topic, partition, "read from its begin, since it only advises")
        if resumption.positions != ledger.positions:
            await ledger.commit({}, [], resumption.positions)
        self._ids.update(ledger.positions.topic_ids)
        begins = {TP(topic, partition): ledger.positions.offsets[topic] for topic in topics}
        await self._app.consumer.begin_at(begins)

    async def begin_source(self, sources: TopicSources, ledger: PositionLedger) -> None:
        """Let the consumer read a partition of a topic that is not ours on from its position."""
        topic, partition = sources.topic, ledger.partition
        fact = (await self._reader.facts((topic,), partition))[topic]
        before = ledger.positions
        offset, what = resume_source(
            before.offsets.get(topic),
            before.topic_ids.get(topic, ""),
            fact,
            # What lies in a partition that was added came after reading began.
            begins_latest=sources.begins_latest and not ledger.was_added,
        )
        ids, times_ms = {topic: fact.topic_id}, dict(before.times_ms)
        after = Positions({topic: offset}, times_ms, ids, dict(before.lost))
        if what == "lost":
            count = offset - before.offsets[topic]
            after.note_lost(topic, count, time.time_ns() // 1_000_000)
            self._note_lost(topic, partition, count)
        elif what == "renewed":
            self._note_renewed(topic, partition, "read from its begin")
        elif what == "forgotten":
            log.warning(
                "position_forgotten",
                message=f"{topic}-{partition}: its position is gone, perhaps no worker ran for "
                f"longer than the broker keeps offsets; reading goes on at {offset}, which the "
                "consumer group committed, and what is read twice counts once within its window",
                topic=topic,
                partition=partition,
            )
        if after != before:
            await ledger.commit([], after)
        self._ids.update(after.topic_ids)
        await self._app.consumer.begin_at({TP(topic, partition): offset})

    def _note_renewed(self, topic: str, partition: int, what: str) -> None:
        log.warning(
            "topic_renewed",
            message=f"{topic}-{partition} was made anew; it is {what}",
            topic=topic,
            partition=partition,
        )

    @property
    def renewals(self) -> int:
        """How often an advisory topic was made anew; partitions then begin again."""
        return self._renewals

    def note_gaps(self, ledger: Ledger | PositionLedger, runs: Iterable[Run]) -> None:
        """Look, beside the work, whether gaps before these runs hold records that were lost."""
        self._gaps += [
            Gap(ledger, topic, counted, fetched)
            for topic, counted, fetched in gaps_before(ledger.positions, runs)
        ]

    def _note_lost(self, topic: str, partition: int, count: int) -> None:
        self.lost[topic] += count
        log.warning(
            "records_lost",
            message=f"{count} records of {topic}-{partition} were lost to retention before they "
            "were read; keep them longer, or start the worker sooner (leverframe doctor)",
            topic=topic,
            partition=partition,
            count=count,
        )

    async def watch(self) -> None:
        """Look every few seconds whether the topics are still those that are counted."""
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                await self._look()
            except (KafkaError, OSError) as error:
                log.warning(
                    "inputs_unwatched",
                    message=f"cannot look at the input topics ({error!r}); trying again",
                )
                await self._reader.stop()
            except LedgerError as error:
                self._on_failure(error)
                return

    async def _look(self) -> None:
        await self._judge_gaps()
        if not self._ids:
            return
        now = await self._reader.topic_ids(list(self._ids))
        for topic in find_renewed(self._ids, now):
            if topic in self._advisory:
                # Taken up by each partition at its next tick.
                self._ids[topic] = now[topic]
                self._renewals += 1
                continue
            raise renewed_error(topic, 0, f"its id is {now[topic]}, it was {self._ids[topic]}")
        self._refuse_gone(now)

    def _refuse_gone(self, now: Mapping[str, str]) -> None:
        now_s = time.monotonic()
        for topic in self._ids.keys() - self._advisory:
            if topic in now:
                self._gone_since_s.pop(topic, None)
            elif now_s - self._gone_since_s.setdefault(topic, now_s) > _GONE_S:
                raise LedgerError(
                    f"{topic} is gone: nothing can be counted. Bring it back, or make it anew "
                    "(leverframe topics create) and start anew: leverframe restart-from"
                )

    async def _judge_gaps(self) -> None:
        """One question for all: most gaps are markers, and each transaction leaves one."""
        gaps = [*self._gaps]
        self._gaps.clear()
        if not gaps:
            return
        begins = await self._reader.begins({(gap.topic, gap.ledger.partition) for gap in gaps})
        now_ms = time.time_ns() // 1_000_000
        for gap in gaps:
            partition = gap.ledger.partition
            lost = min(begins[gap.topic, partition], gap.fetched) - gap.counted
            if lost > 0:
                gap.ledger.positions.note_lost(gap.topic, lost, now_ms)
                self._note_lost(gap.topic, partition, lost)
