"""Reads the newest records of a topic, in bounded time, and keeps what judgements need."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from leverframe.agents.doctor.sample import Sample, Sampled, alarms_of, names_of
from leverframe.agents.doctor.units import served_of
from leverframe.streams.runtime.connect import TIMEOUT_MS
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.kafka import BrokerSettings

__all__ = ["MOST_RECORDS", "sample_topic"]

MOST_RECORDS: Final = 2_000
PATIENCE_S: Final = 5.0
_BROKER_TIME: Final = 1


async def sample_topic(broker: BrokerSettings, topic: str, partitions: int) -> Sample:
    """Read the newest records of all partitions of a topic, read committed.

    Parameters
    ----------
    broker : BrokerSettings
        How to reach Kafka.
    topic : str
        Full name.
    partitions : int
        Of the topic.

    Returns
    -------
    Sample
        At most ``MOST_RECORDS`` (one for each partition at least), spread over the partitions.
    """
    tps = [TopicPartition(topic, p) for p in range(partitions)]
    consuming = open_consumer(
        broker,
        partitions=tps,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        request_timeout_ms=TIMEOUT_MS,
    )
    records: list[Sampled] = []
    failure = ""
    try:
        async with consuming as consumer, asyncio.timeout(PATIENCE_S):
            await _read(consumer, tps, records)
    except TimeoutError:
        failure = "" if records else f"nothing could be read within {PATIENCE_S:.0f} s"
    except KafkaError as error:
        failure = f"cannot be read: {error!r:.200}"
    return Sample(records=records, taken_at_ms=time.time_ns() // 1_000_000, failure=failure)


async def _read(consumer: Any, tps: list[TopicPartition], records: list[Sampled]) -> None:
    begins = await consumer.beginning_offsets(tps)
    ends = await consumer.end_offsets(tps)
    each = -(-MOST_RECORDS // len(tps))
    for tp in tps:
        consumer.seek(tp, max(begins[tp], ends[tp] - each))
    waiting = {tp for tp in tps if ends[tp] > begins[tp]}
    while waiting:
        for tp, fetched in (await consumer.getmany(*waiting, timeout_ms=100)).items():
            # A record beyond the end was written while we read.
            records += _kept(record for record in fetched if record.offset < ends[tp])
        waiting -= {tp for tp in waiting if await consumer.position(tp) >= ends[tp]}


def _kept(fetched: Iterator[Any]) -> Iterator[Sampled]:
    for record in fetched:
        name, ttl_ms = names_of(record.value)
        yield Sampled(
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            timestamp_ms=record.timestamp,
            is_broker_time=record.timestamp_type == _BROKER_TIME,
            name=name,
            ttl_ms=ttl_ms,
            served=served_of(record.value),
            alarms=alarms_of(record.value) if ttl_ms else None,
        )
