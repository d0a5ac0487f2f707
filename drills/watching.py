"""What is seen from outside while a drill runs: the longest pause, and what subscribers hold."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from harness import Deployment

from leverframe.serving.subscriber import Subscriber

__all__ = ["Pauses", "following", "watching"]

_LOOK_S: Final = 0.05


@dataclass
class Pauses:
    """When each partition's committed end last moved, and its longest rest so far.

    Attributes
    ----------
    moved_s : dict
        Monotonic time of the last progress by partition.
    ends : dict
        Committed end by partition.
    longest_s : float
        Of any partition since ``reset``.
    """

    moved_s: dict[TopicPartition, float] = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    longest_s: float = 0.0

    def take(self, ends: dict[TopicPartition, int], now_s: float) -> None:
        """Compare with the look before."""
        for tp, end in ends.items():
            if end > self.ends.get(tp, 0):
                self._close(tp, now_s)
                self.ends[tp], self.moved_s[tp] = end, now_s

    def _close(self, tp: TopicPartition, now_s: float) -> None:
        if tp in self.moved_s:
            self.longest_s = max(self.longest_s, now_s - self.moved_s[tp])

    def current_s(self) -> float:
        """The longest rest, counting those that still last."""
        now_s = time.monotonic()
        return max([self.longest_s, *(now_s - at for at in self.moved_s.values())])

    def reset(self) -> None:
        """Forget the past: what comes is measured alone."""
        self.longest_s = 0.0
        self.moved_s = dict.fromkeys(self.moved_s, time.monotonic())


@asynccontextmanager
async def watching(deployment: Deployment) -> AsyncIterator[Pauses]:
    """Look at the attribution changelog's committed end, many times a second."""
    pauses = Pauses()
    task = asyncio.create_task(_watch(deployment, pauses))
    try:
        yield pauses
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _watch(deployment: Deployment, pauses: Pauses) -> None:
    settings = deployment.settings
    topic = settings.topic_names.attribution_changelog
    tps = [TopicPartition(topic, p) for p in range(settings.topics.partitions)]
    # Read committed: the end of an open transaction is not progress.
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=settings.broker.servers, isolation_level="read_committed"
    )
    await consumer.start()
    try:
        while True:
            with contextlib.suppress(KafkaError):
                pauses.take(await consumer.end_offsets(tps), time.monotonic())
            await asyncio.sleep(_LOOK_S)
    finally:
        await consumer.stop()


@asynccontextmanager
async def following(deployment: Deployment) -> AsyncIterator[Subscriber]:
    """Follow ``control`` as a serving system does, with acknowledgements."""
    topics = deployment.settings.topic_names
    async with Subscriber(
        deployment.settings.broker.servers,
        control=topics.control,
        acks=topics.control_acks,
        replica="drill",
    ) as subscriber:
        yield subscriber
