"""What the script must come to, by ``experiments.oracle``, and what the topics hold beside it.

Millions of requests are compared, so what is known of each is one small number: two bits for each
reward record it has, by arm and revision.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from typing import Any, Final

import orjson

from drills.arrivals import ROUTES, WINDOW_MS, Arrivals, Plan
from leverframe.experiments.oracle import Labelled, Predicted, Rules, recount

__all__ = [
    "Comparison",
    "Pairs",
    "Statistics",
    "compare",
    "expected_pairs",
    "expected_statistics",
]

Statistics = Mapping[tuple[str, str], tuple[int, int]]
"""(route, arm) to number of requests counted and their sum of rewards in 1e-9."""
Pairs = Mapping[tuple[str, str, str], tuple[int, int, int]]
"""(route, arm, later arm by name): requests that both have a reward of, sum of their differences
and of the squares, in 1e-9."""

_CODES: Final[dict[float | None, int]] = {0.0: 1, 1.0: 2, None: 3}
_VALUES: Final = {code: value for value, code in _CODES.items()}
_RULES: Final = Rules(WINDOW_MS, lambda prediction, label: float(prediction == label))
_REVISIONS: Final = 8
"""Of one arm's answer to one request, at most: two bits each."""


@lru_cache(maxsize=4096)
def _rewards(
    prediction: int, age_ms: int, told: tuple[tuple[int, int | None], ...]
) -> tuple[float | None, ...]:
    """Reward records of an answer, by revision: the oracle's count after each of its labels."""
    made: list[float | None] = []
    force: int | None = None
    predicted = [Predicted(-age_ms, "a", prediction)]
    labels = [Labelled(-age, label) for age, label in told]
    for seen in range(1, len(labels) + 1):
        is_open = abs(labels[seen - 1].at_ms - predicted[0].at_ms) <= WINDOW_MS
        if is_open and labels[seen - 1].label != force:
            force = labels[seen - 1].label
            made.append(recount(predicted, labels[:seen], _RULES).reward)
    return tuple(made)


def _answers(plan: Plan) -> dict[int, tuple[float | None, ...]]:
    """Reward records of every arm that answered a request: each as if it were alone."""
    served = {plan.arm: _rewards(plan.prediction, plan.prediction_age_ms, plan.labels)}
    return served | {one.arm: _rewards(one.prediction, 0, plan.labels) for one in plan.shadows}


def _place(arm: int, revision: int) -> int:
    return 2 * (_REVISIONS * arm + revision)


def _chain(kept: int, arm: int) -> list[float | None]:
    """What is kept of one arm's answer, by revision, up to the first that is not there."""
    made = []
    for revision in range(_REVISIONS):
        code = (kept >> _place(arm, revision)) & 3
        if not code:
            break
        made.append(_VALUES[code])
    return made


def _in_force(plan: Plan) -> dict[int, float]:
    """What counts of a request in the end, by arm."""
    return {arm: made[-1] for arm, made in _answers(plan).items() if made and made[-1] is not None}


def expected_statistics(arrivals: Arrivals, count: int, *, in_shadow: bool = False) -> Statistics:
    """Count from scratch what so many requests come to in the end: all, or in shadow."""
    counts: Counter[tuple[str, str]] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        plan = arrivals.plan(number)
        for arm, reward in _in_force(plan).items():
            if in_shadow and arm == plan.arm:
                continue
            where = f"route-{number % ROUTES}", f"arm-{arm}"
            counts[where] += 1
            sums[where] += round(reward * 1e9)
    return {where: (counts[where], sums[where]) for where in counts}


def expected_pairs(arrivals: Arrivals, count: int) -> Pairs:
    """Count from scratch on which requests two arms met, and how their rewards differed."""
    found: dict[tuple[str, str, str], tuple[int, int, int]] = {}
    for number in range(count):
        rewards = sorted(_in_force(arrivals.plan(number)).items())
        for (first, one), (second, other) in combinations(rewards, 2):
            where = f"route-{number % ROUTES}", f"arm-{first}", f"arm-{second}"
            rows, total, square = found.get(where, (0, 0, 0))
            nano = round((one - other) * 1e9)
            found[where] = rows + 1, total + nano, square + round((one - other) ** 2 * 1e9)
    return found


@dataclass
class Comparison:
    """Rewards on the topic beside those that must be there.

    Attributes
    ----------
    labels, lost, twice, wrong : int
        Reward records that must be there; that are missing; that came again; with another value,
        arm or previous value, or of no request of the script.
    shadows : int
        Answers in shadow that must count in the end: those that came after a label that was
        changed since know nothing of it, so their records before that are not compared.
    examples : list of str
        A few of what is wrong.
    """

    labels: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    shadows: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, what: str, name: str) -> None:
        """Count one thing that is wrong."""
        setattr(self, what, getattr(self, what) + 1)
        if len(self.examples) < 8:
            self.examples.append(f"{what}: {name}")


def compare(arrivals: Arrivals, count: int, values: Iterable[bytes]) -> Comparison:
    """Compare reward records, in the order of each partition, with the script."""
    found = Comparison()
    kept = array("Q", bytes(8 * count))
    prefix = f"d{arrivals.seed}-"
    for value in values:
        _take(found, kept, prefix, orjson.loads(value), arrivals)
    for number, code in enumerate(kept):
        plan = arrivals.plan(number)
        for arm, made in _answers(plan).items():
            _hold_against(found, arrivals.name(number), plan, (arm, made), code)
    return found


def _hold_against(
    found: Comparison,
    name: str,
    plan: Plan,
    answer: tuple[int, tuple[float | None, ...]],
    kept: int,
) -> None:
    """Of a served answer every record; of one in shadow, which may miss some, what counts last."""
    arm, made = answer
    chain = _chain(kept, arm)
    what = f"{name} {plan.kind} arm-{arm}"
    if arm == plan.arm:
        found.labels += len(made)
        for at, must in enumerate(made):
            if at >= len(chain):
                found.note("lost", f"{what} revision {at}")
            elif chain[at] != must:
                found.note("wrong", f"{what} revision {at}")
        if len(chain) > len(made):
            found.note("wrong", f"{what} has {len(chain)} records, not {len(made)}")
        return
    must = made[-1] if made else None
    found.shadows += must is not None
    if must is not None and not chain:
        found.note("lost", f"{what} in shadow")
    elif (chain[-1] if chain else None) != must:
        found.note("wrong", f"{what} in shadow")


def _take(
    found: Comparison, kept: "array[int]", prefix: str, reward: dict[str, Any], arrivals: Arrivals
) -> None:
    name = reward["request_id"]
    number = int(name.removeprefix(prefix)) if name.startswith(prefix) else len(kept)
    if number >= len(kept):
        found.note("wrong", f"{name} is not of this script")
        return
    plan, revision = arrivals.plan(number), reward.get("revision", 0)
    arm = next((one for one in _answers(plan) if reward["arm"] == f"arm-{one}"), None)
    if arm is None or reward.get("served", True) != (arm == plan.arm):
        found.note("wrong", f"{name} {reward}")
        return
    at = _place(arm, revision)
    if (kept[number] >> at) & 3:
        found.note("twice", f"{name} arm-{arm} revision {revision}")
        return
    before = _VALUES.get((kept[number] >> (at - 2)) & 3) if revision else None
    if reward.get("previous_reward") != before:
        found.note("wrong", f"{name} {reward}")
    kept[number] |= _CODES.get(reward["reward"], 0) << at
