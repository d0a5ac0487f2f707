"""How fast each part of the work could go if it were all there was.

Each ceiling does for one event what our worker does for one event, and nothing else. "Share of the
limit" sets our rate beside the rate whose cost is the sum of theirs, one after the other on one
core: reading (getmany and decode come together), writing, and RocksDB.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.peers.scene import Scene
from bench.rig.load import pairs
from leverframe.schemas.codec import decode, decoder, encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.entries import Attributed, waiting_of
from leverframe.streams.attribution.packed import encode_entry
from leverframe.streams.runtime.store import CachePosition, Memory, open_store

__all__ = ["CEILINGS", "Ceiling", "limit_of"]

Ceiling: TypeAlias = Callable[[Scene, Path], Awaitable[float]]
"""From the topics, and an empty folder, to input events a second."""

_FETCH_BYTES: Final = 1 << 20
_BATCH_BYTES: Final = 512 << 10
_BATCH_PAIRS: Final = 2000
_MOST_PAIRS: Final = 50_000
_NOW_MS: Final = 1_700_000_000_000
_HOUR_MS: Final = 3_600_000


class _Written(msgspec.Struct, frozen=True):
    """What our worker writes for one pair."""

    key: bytes
    route: bytes
    waiting: bytes
    attributed: bytes
    reward: bytes


def _written(count: int) -> Iterator[_Written]:
    for request_id, (key, value), _ in pairs(count, seed=0):
        prediction = decode(Prediction, value)
        waiting = waiting_of(_NOW_MS, prediction, _HOUR_MS)
        attributed = Attributed(waiting, 1, _NOW_MS, 1.0, 0, _NOW_MS)
        reward = Reward(
            request_id=request_id,
            route=prediction.route,
            arm=prediction.arm,
            reward=1.0,
            propensity=prediction.propensity,
            predicted_at_ms=_NOW_MS,
            labelled_at_ms=_NOW_MS,
            attributed_at_ms=_NOW_MS,
        )
        entries = encode_entry(waiting), encode_entry(attributed)
        yield _Written(key, prediction.route.encode(), *entries, encode(reward))


async def _consume(scene: Scene, take: Callable[[str, Sequence[Any]], None]) -> float:
    """Read both input topics; return events a second."""
    topics = scene.settings.topic_names
    consumer = AIOKafkaConsumer(
        bootstrap_servers=scene.settings.broker.servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    await consumer.start()
    try:
        consumer.assign(
            [
                TopicPartition(topic, partition)
                for topic in (topics.predictions, topics.ground_truth)
                for partition in range(scene.settings.topics.partitions)
            ]
        )
        began, seen = time.perf_counter(), 0
        while seen < scene.total:
            for tp, records in (await consumer.getmany(timeout_ms=1000)).items():
                take(tp.topic, records)
                seen += len(records)
        return seen / (time.perf_counter() - began)
    finally:
        await consumer.stop()


async def getmany_alone(scene: Scene, folder: Path) -> float:
    """Read both input topics and do nothing."""
    del folder
    return await _consume(scene, lambda _topic, _records: None)


async def decode_alone(scene: Scene, folder: Path) -> float:
    """Read both input topics and decode every record into its struct."""
    del folder
    topics = scene.settings.topic_names
    decoders: dict[str, Callable[[bytes], Any]] = {
        topics.predictions: decoder(Prediction),
        topics.ground_truth: decoder(GroundTruth),
    }

    def take(topic: str, records: Sequence[Any]) -> None:
        decode_one = decoders[topic]
        for record in records:
            decode_one(record.value)

    return await _consume(scene, take)


async def produce_alone(scene: Scene, folder: Path) -> float:
    """Write as many records and bytes as our worker: two entries and a reward for each pair."""
    del folder
    topic = scene.settings.topic_names.dead_letters
    rows = list(_written(min(scene.pairs, _MOST_PAIRS)))
    producer = AIOKafkaProducer(
        bootstrap_servers=scene.settings.broker.servers,
        acks="all",
        linger_ms=0,
        max_batch_size=_BATCH_BYTES,
    )
    await producer.start()
    try:
        began = time.perf_counter()
        futures = []
        batch = producer.create_batch()
        for row in rows:
            for key, value in (
                (row.key, row.waiting),
                (row.key, row.attributed),
                (row.route, row.reward),
            ):
                if batch.append(key=key, value=value, timestamp=None) is None:
                    futures.append(await producer.send_batch(batch, topic, partition=0))
                    batch = producer.create_batch()
                    batch.append(key=key, value=value, timestamp=None)
        futures.append(await producer.send_batch(batch, topic, partition=0))
        for future in futures:
            await future
        return 2 * len(rows) / (time.perf_counter() - began)
    finally:
        await producer.stop()


async def rocksdb_alone(scene: Scene, folder: Path) -> float:
    """Read and write as many entries as our worker does: one of each for each event."""
    rows = list(_written(min(scene.pairs, _MOST_PAIRS)))
    store = open_store(folder / "rocksdb", Memory(64 << 20, 64 << 20))
    try:
        began = time.perf_counter()
        for at in range(0, len(rows), _BATCH_PAIRS):
            part = rows[at : at + _BATCH_PAIRS]
            keys = [row.key for row in part]
            store.get_many(keys)
            store.write([(row.key, row.waiting) for row in part], CachePosition(at, _NOW_MS))
            store.get_many(keys)
            store.write([(row.key, row.attributed) for row in part], CachePosition(at, _NOW_MS))
        return 2 * len(rows) / (time.perf_counter() - began)
    finally:
        store.close()


CEILINGS: Final[Mapping[str, Ceiling]] = {
    "getmany": getmany_alone,
    "decode": decode_alone,
    "produce": produce_alone,
    "rocksdb": rocksdb_alone,
}


def limit_of(rates: Mapping[str, float]) -> float:
    """Return the rate of a worker that pays for all parts and for nothing else.

    Examples
    --------
    >>> limit_of({"getmany": 400.0, "decode": 200.0, "produce": 100.0, "rocksdb": 200.0})
    50.0
    """
    return 1 / sum(1 / rates[name] for name in ("decode", "produce", "rocksdb"))
