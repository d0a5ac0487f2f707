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
LAG: Final = 100
"""Pairs between a prediction and its label, in an open-loop load."""
_BATCH_BYTES: Final = 256 << 10


def pairs(
    count: int, *, routes: int = 10, arms: int = 4, seed: int = 1
) -> Iterator[tuple[str, Keyed, Keyed]]:
    """Yield request ids with their prediction and label records.

    Parameters
    ----------
    count : int
        Pairs.
    routes : int
        Spread evenly.
    arms : int
        As for ``routes``.
    seed : int
        Of the labels.

    Yields
    ------
    tuple
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

    Parameters
    ----------
    count : int
        Pairs.
    routes : int
        As for ``pairs``.
    arms : int
        As for ``pairs``.
    seed : int
        As for ``pairs``.

    Returns
    -------
    dict of str to (int, float)
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
) -> int:
    """Write records to a topic, partitioned as Kafka's default partitioner does.

    Parameters
    ----------
    servers : str
        Bootstrap servers.
    topic : str
        Full name.
    partitions : int
        Of the topic.
    records : iterable of (bytes, bytes)
        Key and value.
    times_ms : iterable of int, optional
        Record times, ms since the epoch; the time of writing when left out.

    Returns
    -------
    int
        Records written.
    """
    producer = AIOKafkaProducer(bootstrap_servers=servers, max_batch_size=_BATCH_BYTES, acks=1)
    await producer.start()
    try:
        pending: list[Any] = []
        count = 0
        for at, batch in built(producer, partitions, records, times_ms):
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
) -> Iterator[tuple[int, Any]]:
    """Yield batches for sending, each as soon as it is full and the rest at the end.

    Parameters
    ----------
    producer : AIOKafkaProducer
        Started.
    partitions : int
        Of the topic.
    records : iterable of (bytes, bytes)
        Key and value.
    times_ms : iterable of int, optional
        Record times, ms since the epoch; the time of building when left out.

    Yields
    ------
    tuple of int and BatchBuilder
        Partition and what to send there.
    """
    building: dict[int, Any] = defaultdict(producer.create_batch)
    times: Iterable[int | None] = repeat(None) if times_ms is None else times_ms
    for (key, value), time_ms in zip(records, times, strict=False):
        at = partition_of(key, partitions)
        if building[at].append(key=key, value=value, timestamp=time_ms) is None:
            yield at, building[at]
            building[at] = producer.create_batch()
            building[at].append(key=key, value=value, timestamp=time_ms)
    yield from building.items()


def staggered(
    topics: tuple[str, str], made: Iterable[tuple[Keyed, Keyed]]
) -> Iterator[tuple[str, Keyed]]:
    """Yield predictions, each followed ``LAG`` pairs later by its label.

    Parameters
    ----------
    topics : tuple of str
        Of predictions and of labels.
    made : iterable of tuple
        Key and value of the prediction and of its label.

    Yields
    ------
    tuple of str and (bytes, bytes)
        Topic, and key and value.
    """
    behind: deque[Keyed] = deque()
    for prediction, label in made:
        yield topics[0], prediction
        behind.append(label)
        if len(behind) > LAG:
            yield topics[1], behind.popleft()


async def produce_at(servers: str, records: Iterable[tuple[str, Keyed]], per_second: float) -> int:
    """Send records open-loop at a stated rate.

    Parameters
    ----------
    servers : str
        Bootstrap servers.
    records : iterable of (str, (bytes, bytes))
        Topic, key and value.
    per_second : float
        Rate; records are sent at their due time whether or not earlier ones were answered.

    Returns
    -------
    int
        Records sent.
    """
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
