"""Which worker reads which partitions: ranges, as Kafka has them, but of whole lanes.

Equally partitioned topics go to the same member, since halves of a pair must meet. The name of the
protocol holds the number of lanes: workers that count them differently are no group.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

__all__ = ["assignor_of", "share_out"]


def assignor_of(lanes: Mapping[str, int]) -> Any:
    """Return an assignor of aiokafka's kind, a class; without lanes it is Kafka's own.

    ``lanes`` say how many a topic has, for those that have fewer of them than partitions.
    """
    if not lanes:
        return RangePartitionAssignor
    counts = "-".join(str(count) for count in sorted({*lanes.values()}))

    class LaneAssignor(RangePartitionAssignor):  # type: ignore[misc]
        name = f"leverframe-lanes-{counts}"

        @classmethod
        def assign(cls, cluster: Any, members: Any) -> Any:
            """Share all topics out; see ``AbstractPartitionAssignor``."""
            shared: dict[str, dict[str, list[int]]] = {member: {} for member in members}
            for topic in sorted({name for one in members.values() for name in one.subscription}):
                numbers = sorted(cluster.partitions_for_topic(topic) or ())
                readers = sorted(m for m, one in members.items() if topic in one.subscription)
                for member, own in share_out(numbers, readers, lanes.get(topic, 0)).items():
                    shared[member][topic] = own
            return {
                member: ConsumerProtocolMemberAssignment(cls.version, sorted(own.items()), b"")
                for member, own in shared.items()
            }

    return LaneAssignor


def share_out(
    partitions: Sequence[int], members: Sequence[str], lanes: int = 0
) -> dict[str, list[int]]:
    """Give each member a range of lanes; without lanes, of partitions.

    Examples
    --------
    >>> share_out(range(8), ["a", "b", "c"], lanes=4)
    {'a': [0, 1, 4, 5], 'b': [2, 6], 'c': [3, 7]}
    >>> share_out(range(3), ["a", "b"])
    {'a': [0, 1], 'b': [2]}
    """
    count = min(lanes or len(partitions), len(partitions))
    each, more = divmod(count, len(members))
    shared: dict[str, list[int]] = {}
    begin = 0
    for at, member in enumerate(members):
        end = begin + each + (at < more)
        shared[member] = [
            partition for at, partition in enumerate(partitions) if begin <= at % count < end
        ]
        begin = end
    return shared
