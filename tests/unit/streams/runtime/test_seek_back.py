"""Where reading goes on after a rebalance."""

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from leverframe.streams.runtime.microbatch import MicrobatchThread


class FakeConsumer:
    """Two partitions, one of which was never committed."""

    def __init__(self) -> None:
        self.to_beginning: list[TopicPartition] = []

    async def seek_to_committed(self) -> dict[TopicPartition, int | None]:
        return {TopicPartition("t", 0): 7, TopicPartition("t", 1): None}

    async def seek_to_beginning(self, *tps: TopicPartition) -> None:
        self.to_beginning += tps


def test_partition_without_a_commit_is_read_from_its_start_again() -> None:
    """What was fetched and dropped while the group settled is not lost before the first commit."""
    consumer = FakeConsumer()
    thread: Any = SimpleNamespace(_ensure_consumer=lambda: consumer)
    committed = asyncio.run(MicrobatchThread._seek_back(thread))
    assert committed[TopicPartition("t", 0)] == 7
    assert consumer.to_beginning == [TopicPartition("t", 1)]
