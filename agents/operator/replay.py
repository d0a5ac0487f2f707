"""Runs recorded records through the pure learning step: same input, same state."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from aiokafka import TopicPartition

from leverframe.agents.operator.deciding import is_by_reward
from leverframe.agents.operator.topics import read_to_end
from leverframe.agents.settings import Settings
from leverframe.agents.worker.outputs import burst_record
from leverframe.schemas.codec import DECODE_ERRORS, decoder
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.measurements import METRICS_KEY
from leverframe.streams.envelope import InputRecord
from leverframe.streams.learning.decision import burst_end_ms
from leverframe.streams.learning.restart import is_restart, states_at_begin
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.step import InputKind, learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.runtime.kafka import partition_of

__all__ = ["decided_at", "is_later", "read_partition", "replay"]

_decode_command: Final = decoder(Command)


async def read_partition(settings: Settings, route: str) -> list[Any]:
    """Read what was recorded of a route: since it was started anew, where it was, with the mark."""
    topics = settings.topic_names
    partition = partition_of(route.encode(), settings.topics.route_partitions)
    others = (topics.commands, topics.traffic)
    tps = [TopicPartition(topic, partition) for topic in (topics.rewards, *others)]
    found = await read_to_end(settings.broker, tps)
    marks = [r for r in found if r.topic == topics.rewards and is_restart(r)]
    mark = max(marks, key=lambda record: record.offset, default=None)
    own = {route.encode(), METRICS_KEY + route.encode()}
    mine = [r for r in found if r.key in own and _is_counted(r, mark)]
    rewards = [mark] if mark is not None else []
    rewards += [record for record in mine if record.topic == topics.rewards]
    between = [record for record in mine if record.topic != topics.rewards]
    asked = [(record, after) for record in between if (after := _after_reward(record)) is not None]
    timed = [record for record in between if _after_reward(record) is None]
    merged = _merged(rewards, sorted(timed, key=lambda record: record.timestamp))
    for record, after in asked:
        _place(merged, record, after, topics.rewards)
    return merged


def _after_reward(record: Any) -> int | None:
    """The first reward that was not counted when the job decided by itself; None elsewhere."""
    try:
        command = _decode_command(record.value or b"")
    except DECODE_ERRORS:
        return None
    after = (command.params or {}).get("after_reward") if command.action == "decide" else None
    return after if isinstance(after, int) else None


def _place(merged: list[Any], record: Any, after_reward: int, rewards_topic: str) -> None:
    """Insert the job's own decision where it was made: before a reward, among others by time."""
    at = 0
    for place, one in enumerate(merged):
        if one.topic == rewards_topic:
            if one.offset >= after_reward:
                break
            at = place + 1
        elif one.timestamp <= record.timestamp:
            at = place + 1
    merged.insert(at, record)


def _is_counted(record: Any, mark: Any) -> bool:
    if mark is None:
        return True
    if record.topic == mark.topic:
        return bool(record.offset > mark.offset)
    return bool(record.timestamp >= mark.timestamp)


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
    until_reward: int | None = None,
    and_decide: bool = False,
) -> dict[str, RouteState]:
    """Fold recorded records as a worker would have.

    ``and_decide`` makes the decision that was due on the labels that wait then, as the job did once
    their burst was over.
    """
    chosen = [
        record
        for record in _through(records, kinds, until_reward)
        if until_ms is None or record.timestamp <= until_ms
    ]
    runs = [
        (kinds[topic], list(run)) for topic, run in groupby(chosen, key=lambda record: record.topic)
    ]
    begin = states_at_begin(records)
    states = begin | learn(runs, begin, routes, max_value_bytes=max_value_bytes).states
    if and_decide:
        asked = _due_decisions(states, routes)
        decided = learn([("commands", asked)], states, routes, max_value_bytes=max_value_bytes)
        states |= decided.states
    return states


def _due_decisions(states: Mapping[str, RouteState], routes: Routes) -> list[InputRecord]:
    found: list[InputRecord] = []
    for name, state in states.items():
        route = routes.get(name)
        if route is not None and state.arms:
            due_ms = burst_end_ms(state, route)
            found.append(burst_record(name, due_ms, 0, "commands", 0, due_ms))
    return found


def _through(
    records: Sequence[Any], kinds: Mapping[str, InputKind], reward: int | None
) -> Sequence[Any]:
    if reward is None:
        return records
    for at, record in enumerate(records):
        if kinds[record.topic] == "rewards" and record.offset >= reward:
            return records[: at + (record.offset == reward)]
    return records


def decided_at(message: ControlMessage) -> int | None:
    """Return the reward at which a replay comes to the state that a message was published from.

    Its offset; None where time, traffic or a command decided.
    """
    is_burst = message.cause.get("record", {}).get("burst")
    return None if is_burst else _last_reward(message)


def _last_reward(message: ControlMessage) -> int | None:
    """The newest reward that was counted when a message was published, where that is known."""
    cause = message.cause
    offset = cause.get("record", {}).get("offset")
    return offset if is_by_reward(cause) and isinstance(offset, int) else None


def is_later(record: Any, message: ControlMessage, rewards_topic: str) -> bool:
    """Tell whether a record was counted after a message: by offset where that is known."""
    offset = _last_reward(message)
    if offset is not None and record.topic == rewards_topic:
        return bool(record.offset > offset)
    return bool(record.timestamp >= message.issued_at_ms)
