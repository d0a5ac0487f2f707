"""What the script must come to, by ``experiments.oracle``, and what the topics hold beside it.

Millions of requests are compared, so what is known of each is one small number: two bits for each
reward record it has, by revision.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson

from drills.arrivals import WINDOW_MS, Arrivals, Plan, plan_of
from leverframe.experiments.oracle import Labelled, Predicted, Rules, recount

__all__ = ["Comparison", "Statistics", "compare", "expected_statistics"]

Statistics = Mapping[tuple[str, str], tuple[int, int]]
"""(route, arm) to number of requests counted and their sum of rewards in 1e-9."""

_CODES: Final[dict[float | None, int]] = {0.0: 1, 1.0: 2, None: 3}
_VALUES: Final = {code: value for value, code in _CODES.items()}
_RULES: Final = Rules(WINDOW_MS, lambda prediction, label: float(prediction == label))


@lru_cache(maxsize=4096)
def _rewards(plan: Plan) -> tuple[float | None, ...]:
    """Reward records of a request, by revision: the oracle's count after each of its labels."""
    made: list[float | None] = []
    force: int | None = None
    predicted = [Predicted(-plan.prediction_age_ms, "a", plan.prediction)]
    labels = [Labelled(-age, label) for age, label in plan.labels]
    for seen in range(1, len(labels) + 1):
        is_open = abs(labels[seen - 1].at_ms - predicted[0].at_ms) <= WINDOW_MS
        if is_open and labels[seen - 1].label != force:
            force = labels[seen - 1].label
            made.append(recount(predicted, labels[:seen], _RULES).reward)
    return tuple(made)


@lru_cache(maxsize=4096)
def _code(plan: Plan) -> int:
    return sum(_CODES[value] << (2 * at) for at, value in enumerate(_rewards(plan)))


def expected_statistics(arrivals: Arrivals, count: int) -> Statistics:
    """Count from scratch what so many requests come to in the end."""
    counts: Counter[tuple[str, str]] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        plan = plan_of(arrivals.seed, number)
        made = _rewards(plan)
        if made and made[-1] is not None:
            where = f"route-{number % 5}", f"arm-{plan.arm}"
            counts[where] += 1
            sums[where] += round(made[-1] * 1e9)
    return {where: (counts[where], sums[where]) for where in counts}


@dataclass
class Comparison:
    """Rewards on the topic beside those that must be there.

    Attributes
    ----------
    labels, lost, twice, wrong : int
        Reward records that must be there; that are missing; that came again; with another value,
        arm or previous value, or of no request of the script.
    examples : list of str
        A few of what is wrong.
    """

    labels: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, what: str, name: str) -> None:
        """Count one thing that is wrong."""
        setattr(self, what, getattr(self, what) + 1)
        if len(self.examples) < 8:
            self.examples.append(f"{what}: {name}")


def compare(arrivals: Arrivals, count: int, values: Iterable[bytes]) -> Comparison:
    """Compare reward records, in the order of each partition, with the script."""
    found = Comparison()
    kept = array("H", bytes(2 * count))
    prefix = f"d{arrivals.seed}-"
    for value in values:
        _take(found, kept, prefix, orjson.loads(value), arrivals)
    for number, code in enumerate(kept):
        plan = plan_of(arrivals.seed, number)
        expected = _code(plan)
        found.labels += len(_rewards(plan))
        if code == expected:
            continue
        for at in range(8):
            has, must = (code >> 2 * at) & 3, (expected >> 2 * at) & 3
            if has != must:
                what = "lost" if not has else "wrong"
                found.note(what, f"{arrivals.name(number)} {plan.kind} revision {at}")
    return found


def _take(
    found: Comparison, kept: "array[int]", prefix: str, reward: dict[str, Any], arrivals: Arrivals
) -> None:
    name = reward["request_id"]
    number = int(name.removeprefix(prefix)) if name.startswith(prefix) else len(kept)
    if number >= len(kept):
        found.note("wrong", f"{name} is not of this script")
        return
    at = 2 * reward.get("revision", 0)
    if (kept[number] >> at) & 3:
        found.note("twice", f"{name} revision {at // 2}")
        return
    plan = plan_of(arrivals.seed, number)
    value = reward["reward"]
    before = _VALUES.get((kept[number] >> (at - 2)) & 3) if at else None
    if reward["arm"] != f"arm-{plan.arm}" or reward.get("previous_reward") != before:
        found.note("wrong", f"{name} {reward}")
    kept[number] |= _CODES.get(value, 0) << at
