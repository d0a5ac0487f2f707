"""The one way in which the job makes a consumer of its own, beside the group's."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from leverframe.serving.patches import read_any_record
from leverframe.streams.runtime.kafka import BrokerSettings, client_options

__all__ = ["open_consumer"]

# Whoever follows a topic hears soon that it was made anew; aiokafka asks every 5 minutes.
_METADATA_AGE_MS: Final = 3_000


@asynccontextmanager
async def open_consumer(
    broker: BrokerSettings,
    *topics: str,
    partitions: Sequence[TopicPartition] = (),
    **options: Any,
) -> AsyncIterator[AIOKafkaConsumer]:
    """Start a consumer that reads what was committed and commits nothing by itself; stop it after.

    It subscribes to ``topics`` or is assigned ``partitions``; with neither it answers for offsets.
    ``options`` are aiokafka's. What a consumer says while it stops changes nothing that was read.
    """
    read_any_record()
    consumer = AIOKafkaConsumer(
        *topics,
        **client_options(broker),
        isolation_level="read_committed",
        enable_auto_commit=False,
        client_rack=broker.rack or None,
        **{"metadata_max_age_ms": _METADATA_AGE_MS, **options},
    )
    try:
        await consumer.start()
        if partitions:
            consumer.assign(partitions)
        yield consumer
    finally:
        with suppress(KafkaError):
            await consumer.stop()
