"""From runs to means with 95 % intervals, and to honest comparisons seed by seed."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from msgspec import Struct
from scipy.stats import t as student

from leverframe.experiments.runs import Result
from leverframe.experiments.strategies import STRATEGIES

__all__ = [
    "BANDITS",
    "RULES",
    "SHADOWED",
    "Estimate",
    "Group",
    "compare",
    "estimate",
    "grouped",
    "metric",
]

RULES: Final = ("static_first", "newest", "validation", "ab_test")
"""What one can do without a bandit."""
SHADOWED: Final = tuple(name for name, strategy in STRATEGIES.items() if strategy.shadow_share)
"""Those that see more than a bandit: other arms answer too, and the label judges them all."""
BANDITS: Final = tuple(
    name
    for name, strategy in STRATEGIES.items()
    if strategy.policy and name not in {*RULES, *SHADOWED}
)

Group: TypeAlias = dict[str, list[Result]]
"""Results of one data set and reward by strategy, sorted by seed."""


class Estimate(Struct, frozen=True, kw_only=True):
    """A mean with its uncertainty.

    Attributes
    ----------
    mean : float
        Over seeds.
    half : float
        Half of the 95 % interval by Student's t; infinite for one seed.
    count : int
        Seeds.
    """

    mean: float
    half: float
    count: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return abs(self.mean) > self.half


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean and 95 % interval.

    Examples
    --------
    >>> found = estimate([1.0, 2.0, 3.0])
    >>> found.mean, round(found.half, 3)
    (2.0, 2.484)
    """
    array = np.asarray(values, dtype=np.float64)
    n = len(array)
    spread = float(array.std(ddof=1)) / n**0.5 if n > 1 else float("inf")
    half = spread * float(student.ppf(0.975, n - 1)) if n > 1 else spread
    return Estimate(mean=float(array.mean()), half=half, count=n)


def metric(results: Sequence[Result], name: str) -> list[float]:
    """Return one figure of each run that has it.

    Without the runs where it is None.
    """
    values = [getattr(result.metrics, name) for result in results]
    return [float(value) for value in values if value is not None]


def compare(group: Group, strategy: str, other: str) -> Estimate:
    """Return how much more mean reward a strategy earns, paired by seed."""
    theirs = {result.seed: result.metrics.reward for result in group[other]}
    return estimate(
        [
            result.metrics.reward - theirs[result.seed]
            for result in group[strategy]
            if result.seed in theirs
        ]
    )


def grouped(results: Sequence[Result]) -> dict[tuple[str, str], Group]:
    """Sort results by data set and reward, then by strategy.

    Keys ``(data, reward)``; strategies in the order of the table of strategies.
    """
    groups: dict[tuple[str, str], Group] = {}
    order = list(STRATEGIES)
    for result in sorted(
        results, key=lambda r: (r.data, r.reward, order.index(r.strategy), r.seed)
    ):
        group = groups.setdefault((result.data, result.reward), {})
        group.setdefault(result.strategy, []).append(result)
    return groups
