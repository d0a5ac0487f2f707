"""Runs recorded records through the pure learning step: same input, same state."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.settings import Settings
from schemas.errors import BrokerError
from streams.learning import InputKind, learn
from streams.routes import Routes
from streams.runtime.kafka import client_options, partition_of
from streams.state import RouteState

__all__ = ["read_partition", "replay"]


async def read_partition(settings: Settings, route: str) -> list[Any]:
    """Read what was recorded in the partition of a route.

    Parameters
    ----------
    settings : Settings
        Say where Kafka is.
    route : str
        Its name.

    Returns
    -------
    list of ConsumerRecord
        Rewards of this route as they lie, commands and traffic between them by record time.

    Raises
    ------
    BrokerError
        If no broker answers.
    """
    topics = settings.topic_names
    partition = partition_of(route.encode(), settings.topics.route_partitions)
    others = (topics.commands, topics.traffic)
    tps = [TopicPartition(topic, partition) for topic in (topics.rewards, *others)]
    consumer = AIOKafkaConsumer(
        **client_options(settings.broker),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        await consumer.start()
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        read: dict[str, list[Any]] = {tp.topic: [] for tp in tps}
        while not all([await consumer.position(tp) >= ends[tp] for tp in tps]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                read[tp.topic] += [record for record in records if record.key == route.encode()]
    except (KafkaError, OSError) as error:
        raise BrokerError(
            f"cannot read {topics.rewards} at {settings.broker.servers}: {error!r}. "
            "Set LEVERFRAME_BROKER, or: leverframe topics create"
        ) from error
    finally:
        await consumer.stop()
    between = sorted(
        (record for topic in others for record in read[topic]), key=lambda record: record.timestamp
    )
    return _merged(read[topics.rewards], between)


def _merged(rewards: Sequence[Any], others: Iterable[Any]) -> list[Any]:
    """Put each other record before the first reward that was written after it."""
    merged: list[Any] = []
    rest = iter(rewards)
    held = next(rest, None)
    for other in others:
        while held is not None and held.timestamp <= other.timestamp:
            merged.append(held)
            held = next(rest, None)
        merged.append(other)
    if held is not None:
        merged += [held, *rest]
    return merged


def replay(
    records: Sequence[Any],
    routes: Routes,
    kinds: Mapping[str, InputKind],
    *,
    max_value_bytes: int,
    until_ms: int | None = None,
) -> dict[str, RouteState]:
    """Fold recorded records as a worker would have.

    Parameters
    ----------
    records : sequence of ConsumerRecord
        In order.
    routes : Routes
        Settings of all routes, as the worker had them.
    kinds : mapping of str to InputKind
        What each topic holds, by its full name.
    max_value_bytes : int
        As the worker had it.
    until_ms : int, optional
        Leave out records written after this time, ms since the epoch.

    Returns
    -------
    dict of str to RouteState
        The states that came out.
    """
    chosen = [r for r in records if until_ms is None or r.timestamp <= until_ms]
    runs = [
        (kinds[topic], list(run)) for topic, run in groupby(chosen, key=lambda record: record.topic)
    ]
    return learn(runs, {}, routes, max_value_bytes=max_value_bytes).states
