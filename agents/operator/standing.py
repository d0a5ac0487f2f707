"""What holds of a route and no control message says: its policy, and when a replica was heard."""

from typing import Any, Final

from aiokafka import TopicPartition
from msgspec import Struct

from leverframe.agents.operator.topics import read_back
from leverframe.agents.settings import Settings
from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlAck
from leverframe.schemas.errors import RecordError
from leverframe.streams.routes.settings import OTHER_ROUTES
from leverframe.streams.runtime.kafka import partition_of

__all__ = ["PolicyInForce", "Standing", "policies_by_command", "standing_of", "written_policy"]

Named = tuple[str, dict[str, Any]]
"""A policy's name and parameters."""

_RESERVED: Final = b"\0"


class PolicyInForce(Struct, frozen=True):
    """The policy that weighs a route's arms.

    Attributes
    ----------
    name : str
        As registered.
    params : dict
        Those that are not left to their defaults.
    by_command : bool
        Whether a ``set_policy`` command chose it; else the settings do.
    written : tuple of str and dict, optional
        What the settings say, those that were applied or those of the file; None where they do not
        have the route.
    """

    name: str
    params: dict[str, Any]
    by_command: bool
    written: Named | None

    @property
    def differs(self) -> bool:
        """Whether the settings say something else."""
        return self.written is not None and (self.name, self.params) != self.written


class Standing(Struct, frozen=True):
    """Beside a route's newest message.

    Attributes
    ----------
    policy : PolicyInForce, optional
        None where neither a command nor the settings name one.
    acked_at_ms : int, optional
        Record time of the newest acknowledgement; None where none is kept.
    acked_by : str
        The replica that sent it.
    """

    policy: PolicyInForce | None
    acked_at_ms: int | None
    acked_by: str


async def standing_of(settings: Settings, route: str) -> Standing:
    """Read policy and newest acknowledgement of a route."""
    topics = settings.topic_names
    key = route.encode()
    partition = partition_of(key, settings.topics.route_partitions)

    def is_own(record: Any) -> bool:
        return record.value is not None and bool(record.key == key)

    def found(records: list[Any]) -> bool:
        return bool(records)

    where = TopicPartition(topics.learning_changelog, partition)
    states = await read_back(settings.broker, where, is_own, found)
    commanded, applied = _kept(states[-1].value) if states else (None, None)
    where = TopicPartition(topics.control_acks, partition)
    acks = await read_back(settings.broker, where, is_own, found)
    ack = acks[-1] if acks else None
    return Standing(
        policy=_in_force(settings, route, commanded, applied),
        acked_at_ms=None if ack is None else ack.timestamp,
        acked_by="" if ack is None else _replica(ack.value),
    )


async def policies_by_command(settings: Settings, partitions: int) -> dict[str, PolicyInForce]:
    """Read the policies that commands chose, by route; of what each partition holds lately."""
    chosen: dict[str, PolicyInForce] = {}
    for partition in range(partitions):
        where = TopicPartition(settings.topic_names.learning_changelog, partition)
        records = await read_back(settings.broker, where, _is_state, lambda _: True)
        newest = {record.key: record.value for record in records}
        for key, value in newest.items():
            route = key.decode("utf-8", "replace")
            policy = _in_force(settings, route, *_kept(value))
            if policy is not None and policy.by_command:
                chosen[route] = policy
    return dict(sorted(chosen.items()))


def written_policy(settings: Settings, route: str) -> Named | None:
    """Return what the settings say of a route's policy."""
    routes = settings.routes
    found = routes.get(route) or routes.get(OTHER_ROUTES)
    return None if found is None else (found.policy.name, dict(found.policy.params))


def _is_state(record: Any) -> bool:
    return bool(record.value and record.key) and not record.key.startswith(_RESERVED)


def _in_force(
    settings: Settings, route: str, commanded: Named | None, applied: Named | None
) -> PolicyInForce | None:
    written = applied or written_policy(settings, route)
    chosen = commanded or written
    if chosen is None:
        return None
    return PolicyInForce(*chosen, by_command=commanded is not None, written=written)


def _kept(value: bytes) -> tuple[Named | None, Named | None]:
    """The policy that a command chose, and that of settings that were applied."""
    from leverframe.streams.learning.state import decode_route
    from leverframe.streams.routes.applied import decode_applied

    state = decode_route(value)
    if not state.applied:
        return state.policy, None
    policy = decode_applied(state.applied).policy
    return state.policy, (policy.name, dict(policy.params))


def _replica(value: bytes) -> str:
    try:
        return decode(ControlAck, value).replica
    except RecordError:
        return "a replica whose record cannot be read"
