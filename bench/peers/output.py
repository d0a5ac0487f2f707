"""What a contender wrote, held against what it must write. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from bench.peers.contender import Totals

__all__ = ["Aggregates", "WrittenReward", "faults", "totals_of_rewards"]


class WrittenReward(msgspec.Struct, gc=False):
    """The fields of a reward that every contender writes."""

    request_id: str
    route: str
    arm: str
    reward: float


class Aggregates:
    """Totals as they stand after the records read so far.

    Parameters
    ----------
    read_totals : callable
        From key and value of a record to totals of arms.
    """

    def __init__(
        self, read_totals: Callable[[bytes, bytes], Iterator[tuple[str, tuple[int, float]]]]
    ) -> None:
        self._read_totals = read_totals
        self.totals: Totals = {}
        self.last_changes: dict[tuple[str, int], int] = {}

    @property
    def count(self) -> int:
        """Rewards counted, of all arms."""
        return sum(count for count, _ in self.totals.values())

    def take(self, record: Any) -> None:
        """Read one record of the aggregates topic."""
        if record.key is None or record.value is None:
            return
        for arm, totals in self._read_totals(record.key, record.value):
            if self.totals.get(arm) != totals:
                self.totals[arm] = totals
                self.last_changes[record.topic, record.partition] = record.offset


def totals_of_rewards(values: Iterable[bytes]) -> tuple[int, Totals]:
    """Count and sum the rewards themselves.

    Number of different requests, and ``route/arm`` to count and sum.
    """
    decode = msgspec.json.Decoder(WrittenReward).decode
    requests: set[str] = set()
    cells: defaultdict[str, list[float]] = defaultdict(list)
    for value in values:
        reward = decode(value)
        requests.add(reward.request_id)
        cells[f"{reward.route}/{reward.arm}"].append(reward.reward)
    return len(requests), {arm: (len(seen), sum(seen)) for arm, seen in cells.items()}


def faults(expected: Totals, requests: int, rewards: Totals, aggregates: Totals) -> list[str]:
    """Say where the output differs from what it must be.

    Examples
    --------
    >>> faults({"a/b": (2, 1.0)}, 2, {"a/b": (2, 1.0)}, {"a/b": (1, 1.0)})
    ['totals: a/b is (1, 1.0), must be (2, 1.0)']
    """
    pairs = sum(count for count, _ in expected.values())
    found = [] if requests == pairs else [f"rewards: {requests} requests, must be {pairs}"]
    found += _differences("rewards", expected, rewards)
    return found + _differences("totals", expected, aggregates)


def _differences(what: str, expected: Totals, found: Mapping[str, tuple[int, float]]) -> list[str]:
    nothing = (0, 0.0)
    return [
        f"{what}: {arm} is {found.get(arm, nothing)}, must be {expected.get(arm, nothing)}"
        for arm in sorted(expected.keys() | found.keys())
        if found.get(arm, nothing)[0] != expected.get(arm, nothing)[0]
        or abs(found.get(arm, nothing)[1] - expected.get(arm, nothing)[1]) > 1e-6
    ]
