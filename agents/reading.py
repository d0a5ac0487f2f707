"""Reads topics to the end that they have now, read committed."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import BrokerError
from streams.runtime.kafka import BrokerSettings, client_options

__all__ = ["read_to_end"]

_SILENCE_S: Final = 30.0


async def read_to_end(broker: BrokerSettings, partitions: Sequence[TopicPartition]) -> list[Any]:
    """Read everything that is committed in some partitions.

    Parameters
    ----------
    broker : BrokerSettings
        How to reach Kafka.
    partitions : sequence of TopicPartition
        That exist.

    Returns
    -------
    list of ConsumerRecord
        Those of one partition as they lie; partitions in the order in which fetches came.

    Raises
    ------
    BrokerError
        If no broker answers, or one gives nothing for half a minute.
    """
    consumer = AIOKafkaConsumer(
        **client_options(broker),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=20,
    )
    names = ", ".join(sorted({tp.topic for tp in partitions}))
    try:
        await consumer.start()
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[Any] = []
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SILENCE_S
        while not all([await consumer.position(tp) >= ends[tp] for tp in partitions]):
            for found in (await consumer.getmany(timeout_ms=100)).values():
                records += found
                deadline = loop.time() + _SILENCE_S
            if loop.time() > deadline:
                raise BrokerError(
                    f"{names} at {broker.servers} gave nothing for {_SILENCE_S:.0f} s before its "
                    "end. Look at the broker's log"
                )
    except (KafkaError, OSError) as error:
        raise BrokerError(
            f"cannot read {names} at {broker.servers}: {error!r}. "
            "Set LEVERFRAME_BROKER, or: leverframe topics create"
        ) from error
    finally:
        await consumer.stop()
    return records
