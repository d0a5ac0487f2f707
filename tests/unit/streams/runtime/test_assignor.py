"""Lanes are handed out whole, and every partition to one member."""

from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from leverframe.streams.runtime.assignor import assignor_of, share_out


@given(partitions=st.integers(1, 70), members=st.integers(1, 9), lanes=st.integers(0, 80))
def test_each_partition_has_one_member_and_each_lane_too(
    partitions: int, members: int, lanes: int
) -> None:
    """No member has two lanes more than another."""
    shared = share_out(range(partitions), [f"m{at}" for at in range(members)], lanes)
    count = min(lanes or partitions, partitions)
    assert sorted(p for own in shared.values() for p in own) == [*range(partitions)]
    held = [{partition % count for partition in own} for own in shared.values()]
    assert sum(map(len, held)) == count
    assert max(map(len, held)) - min(map(len, held)) <= 1


class Cluster:
    """What an assignor asks of a cluster."""

    def __init__(self, **partitions: int) -> None:
        self._partitions = partitions

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        count = self._partitions.get(topic)
        return None if count is None else {*range(count)}


def _members(**topics: list[str]) -> Any:
    return {name: ConsumerProtocolMemberMetadata(0, own, b"") for name, own in topics.items()}


def _assigned(assignor: Any, cluster: Any, members: Any) -> Any:
    found = assignor.assign(cluster, members)
    return {name: dict(one.assignment) for name, one in found.items()}


def test_pairs_of_topics_meet_on_one_member_and_others_are_ranges() -> None:
    """Both halves of a pair, whoever reads them; a topic without lanes is cut as ever."""
    cluster = Cluster(predictions=8, labels=8, shop=3)
    members = _members(b=["predictions", "labels", "shop"], a=["predictions", "labels", "shop"])
    assignor = assignor_of({"predictions": 4, "labels": 4})
    assert assignor.name == "leverframe-lanes-4"
    assert _assigned(assignor, cluster, members) == {
        "a": {"predictions": [0, 1, 4, 5], "labels": [0, 1, 4, 5], "shop": [0, 1]},
        "b": {"predictions": [2, 3, 6, 7], "labels": [2, 3, 6, 7], "shop": [2]},
    }


def test_a_topic_that_is_gone_is_nobodys() -> None:
    """It is asked for again with the next metadata."""
    members = _members(a=["gone"])
    assert _assigned(assignor_of({"gone": 4}), Cluster(), members) == {"a": {"gone": []}}


def test_without_lanes_it_is_kafkas_own() -> None:
    """So workers of before and after are one group."""
    assert assignor_of({}) is RangePartitionAssignor
