"""The shell of ``streams.sources``: fetch schemas, map, commit."""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from leverframe.agents.ingest.registry import Registry
from leverframe.agents.settings import Settings
from leverframe.agents.worker.event_log import DeadLetterLog
from leverframe.agents.worker.inputs import Inputs
from leverframe.agents.worker.outputs import dead_letter_output
from leverframe.schemas.errors import RegistryError
from leverframe.streams.runtime.ledger import Output
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.runtime.murmur import partitions_of
from leverframe.streams.runtime.partition import Idle
from leverframe.streams.runtime.positions import PositionLedger
from leverframe.streams.runtime.runs import Run, unseen
from leverframe.streams.sources.batch import Ingested, ingest
from leverframe.streams.sources.compiled import TopicSources, ids_in

__all__ = ["IngestShell", "IngestWork"]

log = make_logger()

_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0


class IngestShell:
    """What all partitions of all source topics on a worker share."""

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        self.inputs = inputs
        self.topics = settings.topic_names
        self.partitions = settings.topics.partitions
        self.route_partitions = settings.topics.route_partitions
        self.set_aside = DeadLetterLog()
        self.registry = Registry(settings.registry)
        # By source and what became of a record, since the process started.
        self.counts: Counter[tuple[str, str]] = Counter(
            {(name, what): 0 for name in settings.sources for what in WHAT}
        )

    def begin(self, sources: TopicSources, ledger: PositionLedger) -> "IngestWork":
        """Begin the work on a partition whose positions are known."""
        return IngestWork(self, sources, ledger)

    def outputs(self, done: Ingested) -> list[Output]:
        """Return what a micro-batch became, ready to be published."""
        topics = self.topics
        names = {"prediction": topics.predictions, "ground-truth": topics.ground_truth}
        keys = [one.key for one, _, _ in done.records]
        homes = partitions_of(keys, self.partitions)
        made = [
            Output(names[one.kind], home, key, one.value, traced, time_ms)
            for (one, time_ms, traced), key, home in zip(done.records, keys, homes, strict=True)
        ]
        return made + [
            dead_letter_output(letter, topics.dead_letters, self.route_partitions)
            for letter in done.dead_letters
        ]


WHAT: Final = ("mapped", "passed_over", "faulty")


class IngestWork:
    """Maps the micro-batches of one partition of a source topic."""

    def __init__(self, shell: IngestShell, sources: TopicSources, ledger: PositionLedger) -> None:
        # Whether it waits for a registry, which may take long: it can be abandoned then.
        self.is_blocked = False
        self._shell = shell
        self._sources = sources
        self._ledger = ledger
        self._renewals = shell.inputs.renewals

    async def handle(self, runs: list[Run]) -> "asyncio.Future[None] | None":
        """Map one micro-batch and begin to make it durable."""
        shell, now_ms = self._shell, time.time_ns() // 1_000_000
        fresh, positions = unseen(self._ledger.positions, runs, now_ms)
        if not fresh:
            return None
        shell.inputs.note_gaps(self._ledger, fresh)
        records = [record for run in fresh for record in run.records]
        if self._sources.is_framed:
            await self._load(ids_in(records))
        done = ingest(self._sources, records, shell.registry.schemas, now_ms)
        durable = await self._ledger.begin_commit(shell.outputs(done), positions)
        shell.set_aside.note(done.dead_letters)
        shell.counts.update(done.counts)
        return durable

    async def tick(self, idle: Mapping[str, Idle]) -> bool:
        """Keep the positions from being forgotten."""
        del idle
        self._shell.set_aside.write_if_due()
        if self._renewals != self._shell.inputs.renewals:
            self._renewals = self._shell.inputs.renewals
            await self._shell.inputs.begin_source(self._sources, self._ledger)
        await self._ledger.renew()
        return False

    async def _load(self, ids: Collection[int]) -> None:
        """Have the schemas at hand, however long the registry is away."""
        pause_s = _PAUSE_S
        self.is_blocked = True
        try:
            while True:
                try:
                    await self._shell.registry.load(ids)
                except RegistryError as error:
                    log.warning(
                        "registry_away",
                        message=f"{self._ledger.name}: waits for schemas: {error}",
                        topic=self._sources.topic,
                        partition=self._ledger.partition,
                    )
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                else:
                    return
        finally:
            self.is_blocked = False
