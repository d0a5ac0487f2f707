"""Runs recorded rewards and commands through the pure learning step: same input, same state."""

from collections.abc import Iterable, Sequence
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
    """Read what was recorded in the partition of a route: rewards, and commands between them.

    Parameters
    ----------
    settings : Settings
        Say where Kafka is.
    route : str
        Its name.

    Returns
    -------
    list of ConsumerRecord
        Of this route, in the order of their record times; rewards among themselves as they lie.

    Raises
    ------
    BrokerError
        If no broker answers.
    """
    topics = settings.topic_names
    partition = partition_of(route.encode(), settings.topics.route_partitions)
    tps = [TopicPartition(topics.rewards, partition), TopicPartition(topics.commands, partition)]
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
    return _merged(read[topics.rewards], read[topics.commands])


def _merged(rewards: Sequence[Any], commands: Iterable[Any]) -> list[Any]:
    """Put each command before the first reward that was written after it."""
    merged: list[Any] = []
    rest = iter(rewards)
    held = next(rest, None)
    for command in commands:
        while held is not None and held.timestamp <= command.timestamp:
            merged.append(held)
            held = next(rest, None)
        merged.append(command)
    if held is not None:
        merged += [held, *rest]
    return merged


def replay(
    records: Sequence[Any],
    routes: Routes,
    rewards_topic: str,
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
    rewards_topic : str
        Full name: tells rewards from commands.
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
    runs: list[tuple[InputKind, list[Any]]] = [
        ("rewards" if is_reward else "commands", list(run))
        for is_reward, run in groupby(chosen, key=lambda record: record.topic == rewards_topic)
    ]
    return learn(runs, {}, routes, max_value_bytes=max_value_bytes).states
