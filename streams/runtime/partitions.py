"""The partitions of one agent on this worker; each begins with its first work."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Generic

from leverframe.streams.runtime.partition import Agent, Batch, Partition, Reading, WorkT

__all__ = ["Partitions"]


class Partitions(Generic[WorkT]):
    """Partitions by number; ``on_failure`` gets the first unexpected error and ends the process.

    While they are suspended, because some are leaving, no work is taken: what is not acknowledged
    is read again after the rebalance.
    """

    def __init__(self, agent: Agent[WorkT], on_failure: Callable[[BaseException], None]) -> None:
        self._agent = agent
        self._on_failure = on_failure
        self._partitions: dict[int, Partition[WorkT]] = {}
        self._has_failed = False
        self.is_suspended = False

    @property
    def works(self) -> dict[int, WorkT]:
        """What is done on each partition whose ledger is open."""
        return {
            number: partition.work
            for number, partition in self._partitions.items()
            if partition.work is not None
        }

    def handle(self, number: int, batch: Batch) -> None:
        """Queue a micro-batch of a partition."""
        if not self._has_failed and not self.is_suspended:
            self._get(number).handle(batch)

    def tick(self, readings: Mapping[int, Mapping[str, Reading]]) -> None:
        """Let each partition that is assigned to this worker do what time demands.

        ``readings`` say of each how far its topics are read.
        """
        if not self._has_failed and not self.is_suspended:
            for number, by_topic in readings.items():
                self._get(number).tick(by_topic)

    async def close(self, numbers: Iterable[int] | None = None) -> None:
        """Finish what is queued on these partitions, or on all, and close their ledgers."""
        chosen = list(self._partitions) if numbers is None else list(numbers)
        closing = {n: self._partitions[n] for n in chosen if n in self._partitions}
        await asyncio.gather(*(partition.close() for partition in closing.values()))
        for number, partition in closing.items():
            if self._partitions.get(number) is partition:
                del self._partitions[number]

    def abandon_opening(self, numbers: Iterable[int]) -> None:
        """Give up those of these partitions whose ledger is still being opened."""
        for number in numbers:
            if number in self._partitions:
                self._partitions[number].abandon_opening()

    def abandon_blocked(self, numbers: Iterable[int] | None = None) -> None:
        """Give up what waits for somebody outside of Kafka on these partitions, or on all."""
        for number in list(self._partitions) if numbers is None else numbers:
            if number in self._partitions:
                self._partitions[number].abandon_blocked()

    def _get(self, number: int) -> Partition[WorkT]:
        if number not in self._partitions:
            self._partitions[number] = Partition(number, self._agent, self._fail)
        return self._partitions[number]

    def _fail(self, error: BaseException) -> None:
        self._has_failed = True
        self._on_failure(error)
