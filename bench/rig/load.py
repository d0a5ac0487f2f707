"""Preloads topics with prediction and label pairs, as fast as aiokafka's batch builder goes."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, Final

import numpy as np
from aiokafka import AIOKafkaProducer

from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.runtime.kafka import partition_of

Keyed = tuple[bytes, bytes]
Headers = list[tuple[str, bytes]]
LAG: Final = 100
"""Pairs between a prediction and its label, in an open-loop load."""
_BATCH_BYTES: Final = 256 << 10


def pairs(
    count: int, *, routes: int = 10, arms: int = 4, seed: int = 1
) -> Iterator[tuple[str, Keyed, Keyed]]:
    """Yield request ids with their prediction and label records.

    Request id, then key and value of the prediction and of the label.
    """
    rng = np.random.default_rng(seed)
    right = rng.random(count) < 0.9
    for i in range(count):
        request_id = f"req-{seed}-{i:09d}"
        key = request_id.encode()
        prediction = Prediction(
            request_id=request_id,
            route=f"route-{i % routes}",
            arm=f"arm-{i // routes % arms}",
            prediction=1,
            propensity=1 / arms,
        )
        label = GroundTruth(request_id=request_id, label=int(right[i]))
        yield request_id, (key, encode(prediction)), (key, encode(label))


def expected_totals(
    count: int, *, routes: int = 10, arms: int = 4, seed: int = 1
) -> dict[str, tuple[int, float]]:
    """Return what anybody who joins the same ``pairs`` must come to.

    ``route/arm`` to count and sum of its rewards: 1 for a label of 1, else 0.

    Examples
    --------
    >>> expected_totals(4, routes=1, arms=2)
    {'route-0/arm-0': (2, 2.0), 'route-0/arm-1': (2, 0.0)}
    """
    rewards = (np.random.default_rng(seed).random(count) < 0.9).astype(float)
    index = np.arange(count)
    group = index % routes * arms + index // routes % arms
    counts = np.bincount(group, minlength=routes * arms).tolist()
    sums = np.bincount(group, weights=rewards, minlength=routes * arms).tolist()
    return {
        f"route-{at // arms}/arm-{at % arms}": (counts[at], sums[at])
        for at in range(routes * arms)
        if counts[at]
    }


async def preload(
    servers: str,
    topic: str,
    partitions: int,
    records: Iterable[Keyed],
    times_ms: Iterable[int] | None = None,
    headers: Iterable[Headers] | None = None,
) -> int:
    """Write records to a topic, partitioned as Kafka's default partitioner does."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, max_batch_size=_BATCH_BYTES, acks=1)
    await producer.start()
    try:
        pending: list[Any] = []
        count = 0
        for at, batch in built(producer, partitions, records, times_ms, headers):
            pending.append(await producer.send_batch(batch, topic, partition=at))
            count += batch.record_count()
        await asyncio.gather(*pending)
        return count
    finally:
        await producer.stop()


def built(
    producer: AIOKafkaProducer,
    partitions: int,
    records: Iterable[Keyed],
    times_ms: Iterable[int] | None = None,
    headers: Iterable[Headers] | None = None,
) -> Iterator[tuple[int, Any]]:
    """Yield batches for sending, each as soon as it is full and the rest at the end."""
    building: dict[int, Any] = defaultdict(producer.create_batch)
    times: Iterable[int | None] = repeat(None) if times_ms is None else times_ms
    own: Iterable[Headers] = repeat([]) if headers is None else headers
    for (key, value), time_ms, more in zip(records, times, own, strict=False):
        at = partition_of(key, partitions)
        if building[at].append(key=key, value=value, timestamp=time_ms, headers=more) is None:
            yield at, building[at]
            building[at] = producer.create_batch()
            building[at].append(key=key, value=value, timestamp=time_ms, headers=more)
    yield from building.items()


def staggered(
    topics: tuple[str, str], made: Iterable[tuple[Keyed, Keyed]]
) -> Iterator[tuple[str, Keyed]]:
    """Yield predictions, each followed ``LAG`` pairs later by its label."""
    behind: deque[Keyed] = deque()
    for prediction, label in made:
        yield topics[0], prediction
        behind.append(label)
        if len(behind) > LAG:
            yield topics[1], behind.popleft()


async def produce_at(servers: str, records: Iterable[tuple[str, Keyed]], per_second: float) -> int:
    """Send records open-loop at a stated rate."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=2)
    await producer.start()
    try:
        began = time.monotonic()
        count = 0
        for count, (topic, (key, value)) in enumerate(records, start=1):
            ahead = began + count / per_second - time.monotonic()
            if ahead > 0.002:
                await asyncio.sleep(ahead)
            await producer.send(topic, value, key=key)
        await producer.flush()
        return count
    finally:
        await producer.stop()
