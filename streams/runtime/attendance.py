"""Which partitions a consumer group reads, and which have had no reader for too long."""

from collections.abc import Collection, Iterable
from itertools import groupby

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocol

__all__ = ["Attendance", "name_partitions", "owned_partitions"]


def owned_partitions(assignments: Iterable[bytes]) -> set[TopicPartition]:
    """Return what the members of a group read, from their assignments as the broker keeps them."""
    return {
        tp
        for assignment in assignments
        if assignment
        for tp in ConsumerProtocol.ASSIGNMENT.decode(assignment).partitions()
    }


def name_partitions(partitions: Iterable[TopicPartition]) -> str:
    """Name partitions by topic: ``partition 3 of predictions, partitions 0, 1 of rewards``."""
    named = []
    for topic, own in groupby(sorted(partitions), key=lambda tp: tp.topic):
        numbers = [str(tp.partition) for tp in own]
        named.append(f"partition{'s' * (len(numbers) > 1)} {', '.join(numbers)} of {topic}")
    return ", ".join(named)


class Attendance:
    """What is known of a group's readers; ``patience_s`` is how long a partition may have none.

    Every time is in seconds of one clock that never jumps.
    """

    def __init__(self, wanted: Collection[TopicPartition], patience_s: float) -> None:
        self._wanted = wanted
        self._patience_s = patience_s
        self._unread_since_s: dict[TopicPartition, float] = {}
        self._heard_s: float | None = None

    def note(self, owned: Collection[TopicPartition], now_s: float) -> None:
        """Take what the group reads now."""
        # Who begins has seen no reader yet: patience is for a partition that had one.
        since_s = now_s if self._heard_s is not None else now_s - 2 * self._patience_s
        self._unread_since_s = {
            tp: self._unread_since_s.get(tp, since_s) for tp in self._wanted if tp not in owned
        }
        self._heard_s = now_s

    def is_silent(self, now_s: float) -> bool:
        """Whether nothing was heard of the group for too long."""
        return self._heard_s is None or now_s - self._heard_s > self._patience_s

    def why_unread(self, now_s: float) -> str | None:
        """Say what has no reader, or that nobody knows; None where every partition is read."""
        if self._heard_s is None:
            return "the group was not heard of yet"
        if self.is_silent(now_s):
            return f"the broker has not spoken of the group for {now_s - self._heard_s:.0f} s"
        unread = [
            tp for tp, since_s in self._unread_since_s.items() if now_s - since_s > self._patience_s
        ]
        return f"no member reads {name_partitions(unread)}" if unread else None
