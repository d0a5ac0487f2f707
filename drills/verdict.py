"""The verdict after a drill: everything that was promised, looked at from outside."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition
from harness import Deployment, learned, read_all, reader, route_states
from patience import PATIENCE_S

from drills.arrivals import Arrivals
from drills.expectation import (
    Comparison,
    Pairs,
    compare,
    expected_pairs,
    expected_statistics,
)
from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlMessage
from leverframe.serving.subscriber import Subscriber
from leverframe.streams.learning.state import RouteState

__all__ = ["Verdict", "counted", "judge"]


@dataclass
class Verdict:
    """What was found.

    Attributes
    ----------
    rewards : Comparison
        Against the script.
    faults : list of str
        Everything that is not as promised; empty is good.
    """

    rewards: Comparison
    faults: list[str] = field(default_factory=list)


async def judge(
    deployment: Deployment,
    arrivals: Arrivals,
    requests: int,
    subscriber: Subscriber | None,
    settle_s: float = PATIENCE_S,
) -> Verdict:
    """Wait until nothing is left to do, then compare everything with the script."""
    faults: list[str] = []
    left = await _settled(lambda: uncounted(deployment), settle_s)
    if left:
        faults.append(f"partitions stuck, records left: {left}")
    rewards = compare(arrivals, requests, [r.value async for r in _rewards(deployment)])
    faults += rewards.examples
    states = await route_states(deployment)
    faults += counted(states, arrivals, requests)
    faults += await _dead_letters(deployment, arrivals, requests)
    faults += await _serials(deployment)
    if subscriber is not None:
        faults += await _followed(deployment, subscriber)
    return Verdict(rewards, faults)


def counted(states: Mapping[str, RouteState], arrivals: Arrivals, requests: int) -> list[str]:
    """Statistics of all answers, of those in shadow, and of pairs, beside a recount."""
    faults = []
    sides: tuple[tuple[str, Mapping[Any, Any], Mapping[Any, Any]], ...] = (
        ("statistics", learned(states), expected_statistics(arrivals, requests)),
        (
            "statistics in shadow",
            learned(states, in_shadow=True),
            expected_statistics(arrivals, requests, in_shadow=True),
        ),
        ("pairs", _pairs_of(states), expected_pairs(arrivals, requests)),
    )
    for what, found, expected in sides:
        wrong = {
            key: (found.get(key), expected.get(key))
            for key in found.keys() | expected.keys()
            if found.get(key) != expected.get(key)
        }
        if wrong:
            faults.append(f"{what} differ: {wrong}")
    return faults


def _pairs_of(states: Mapping[str, RouteState]) -> Pairs:
    """What the ledger holds of arms that met, by both names in their order."""
    found = {}
    for route, state in states.items():
        for key, pair in state.pairs.items():
            first, second = key.split("\n")
            sign = 1 if first < second else -1
            names = sorted((first, second))
            found[route, names[0], names[1]] = pair.rows, sign * pair.sum_nano, pair.square_nano
    return {key: sums for key, sums in found.items() if any(sums)}


async def _settled(look: Callable[[], Awaitable[Any]], patience_s: float) -> Any:
    """Look until there is nothing; return what is still there when nothing changes any more."""
    deadline, before = time.monotonic() + patience_s, None
    while (found := await look()) and time.monotonic() < deadline:
        if found != before:
            deadline, before = time.monotonic() + patience_s, found
    return found


async def uncounted(deployment: Deployment) -> dict[str, int]:
    """Count the records beyond what the group committed, on every input of every agent."""
    from aiokafka.admin import AIOKafkaAdminClient

    settings = deployment.settings
    topics, counts = settings.topic_names, settings.topics
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=settings.broker.servers)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(topics.prefix + settings.app.id)
    finally:
        await admin.close()
    left: dict[str, int] = {}
    for topic, partitions in (
        (topics.predictions, counts.partitions),
        (topics.ground_truth, counts.partitions),
        (topics.rewards, counts.route_partitions),
        (topics.commands, counts.route_partitions),
    ):
        async with reader(settings.broker.servers, topic, partitions) as consumer:
            for tp in consumer.assignment():
                if tp in committed:
                    consumer.seek(tp, committed[tp].offset)
            found = await _to_end(consumer)
        left |= {f"{tp.topic}-{tp.partition}": n for tp, n in found.items()}
    return left


async def _to_end(consumer: Any) -> Counter[TopicPartition]:
    """Count records between the position and the end; transaction markers are none."""
    tps = consumer.assignment()
    ends = await consumer.end_offsets(tps)
    found: Counter[TopicPartition] = Counter()
    while not all([await consumer.position(tp) >= ends[tp] for tp in tps]):
        for tp, records in (await consumer.getmany(timeout_ms=50)).items():
            found[tp] += len(records)
    return found


async def _rewards(deployment: Deployment) -> AsyncIterator[Any]:
    settings = deployment.settings
    topic, partitions = settings.topic_names.rewards, settings.topics.route_partitions
    async with reader(settings.broker.servers, topic, partitions) as consumer:
        tps = consumer.assignment()
        ends = await consumer.end_offsets(tps)
        while not all([await consumer.position(tp) >= ends[tp] for tp in tps]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    yield record


async def _dead_letters(deployment: Deployment, arrivals: Arrivals, requests: int) -> list[str]:
    """Compare them one by one with the poison of the script."""
    settings = deployment.settings
    found: Counter[Any] = Counter()
    for record in await read_all(
        settings.broker.servers, settings.topic_names.dead_letters, settings.topics.route_partitions
    ):
        reason = dict(record.headers)["leverframe.reason"].decode()
        found[reason, record.key, record.value] += 1
    expected = Counter(arrivals.dead_letters(requests))
    return [
        f"dead letter {what} {n}x: {each!r:.160}"
        for what, some in (("missing", expected - found), ("unexpected", found - expected))
        for each, n in list(some.items())[:4]
    ]


async def _serials(deployment: Deployment) -> list[str]:
    settings = deployment.settings
    last: dict[str, tuple[int, int]] = {}
    faults = []
    for record in await read_all(
        settings.broker.servers, settings.topic_names.control, settings.topics.route_partitions
    ):
        message = decode(ControlMessage, record.value)
        serial = message.epoch, message.seq
        if serial <= last.get(message.route, (-1, -1)):
            faults.append(f"{message.route}: (epoch, seq) {serial} after {last[message.route]}")
        last[message.route] = serial
    return faults[:4]


async def _followed(deployment: Deployment, subscriber: Subscriber) -> list[str]:
    """Weights in the subscriber beside those in the job's newest state; arms in shadow have 0."""

    async def differing() -> list[str]:
        return [
            f"{route}: subscriber has {held and dict(held.weights)}, the job {state.weights}"
            for route, state in (await route_states(deployment)).items()
            if (held := subscriber.in_force(route)) is None
            or held.is_fallback
            or {arm: weight for arm, weight in held.weights.items() if weight} != state.weights
        ]

    found: list[str] = await _settled(differing, 20.0)
    return found
