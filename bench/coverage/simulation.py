"""Logs whose truth is known: rare failures, rare successes, users who keep their arm."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.evaluation.logged import LoggedRewards

__all__ = ["SCENES", "Drawn", "requests_of_users"]

Floats = NDArray[np.float64]
LOGGED_SHARE: Final = 0.1
"""Of the arm that the policy in question prefers, where 90 and 10 per cent were logged."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A log and what the policy in question would have earned on its requests, on average."""

    logged: LoggedRewards
    truth: float


Scene = Callable[[np.random.Generator], Drawn]


def _log(
    rng: np.random.Generator,
    means: Floats,
    *,
    share: float = LOGGED_SHARE,
    target: float = 1.0,
    context: Floats | None = None,
    unit: NDArray[np.int64] | None = None,
    is_graded: bool = False,
) -> Drawn:
    """Two arms of the same mean for each of n requests; arm 1 was served to ``share`` of the units.

    The policy in question serves it with chance ``target``. Graded rewards lie closely around their
    means, others are 0 or 1.
    """
    n = len(means)
    drawn = rng.random(n) if unit is None else rng.random(int(unit.max()) + 1)[unit]
    arm = (drawn < share).astype(np.int64)
    if is_graded:
        rewards = np.clip(means + 0.02 * rng.standard_normal(n), 0.0, 1.0)
    else:
        rewards = (rng.random(n) < means).astype(np.float64)
    logged = LoggedRewards(
        arms=("a", "b"),
        reward=rewards,
        arm=arm,
        propensity=np.where(arm == 1, share, 1 - share),
        target=np.tile([1 - target, target], (n, 1)),
        context=context,
        unit=unit,
    )
    return Drawn(logged=logged, truth=float(means.mean()))


def requests_of_users(
    rng: np.random.Generator, n: int, users: int, exponent: float
) -> NDArray[np.int64]:
    """Draw who makes each of n requests: user k with weight ``k ** -exponent``."""
    weights = np.arange(1, users + 1) ** -exponent
    return rng.choice(users, n, p=weights / weights.sum())


def _sticky(
    users: int, n: int, mean: float, deviation: float, exponent: float, periods: int = 1,
    *, has_context: bool = False,
) -> Scene:  # fmt: skip
    """Users whose means are drawn from a Beta distribution, and who keep their arm for a period.

    The context tells roughly what their mean is.
    """
    strength = mean * (1 - mean) / deviation**2 - 1

    def draw(rng: np.random.Generator) -> Drawn:
        own = rng.beta(mean * strength, (1 - mean) * strength, users)
        who = requests_of_users(rng, n, users, exponent)
        period = np.arange(n) * periods // n
        context = own[:, None] + 0.1 * rng.standard_normal((users, 1)) if has_context else None
        return _log(
            rng,
            own[who],
            share=0.5,
            unit=who + users * period,
            context=None if context is None else context[who],
        )

    return draw


def _constant(mean: float, n: int, share: float, target: float = 1.0) -> Scene:
    return lambda rng: _log(rng, np.full(n, mean), share=share, target=target)


def _with_context(rng: np.random.Generator) -> Drawn:
    x = rng.standard_normal((2000, 2))
    means = np.clip(0.997 + 0.002 * x[:, 0], 0.0, 1.0)
    return _log(rng, means, context=x)


SCENES: Final[dict[str, Scene]] = {
    "mean 0.998, logged 90/10, 2,000 requests": _constant(0.998, 2000, 0.1),
    "mean 0.998, logged 90/10, 20,000 requests": _constant(0.998, 20_000, 0.1),
    "mean 0.002, logged 90/10, 5,000 requests": _constant(0.002, 5000, 0.1),
    "mean 0.002, logged 50/50, 2,000 requests": _constant(0.002, 2000, 0.5),
    "mean 0.5, logged 90/10, 2,000 requests": _constant(0.5, 2000, 0.1),
    "mean 0.9, logged 98/2, policy 50/50, 5,000 requests": _constant(0.9, 5000, 0.02, 0.5),
    "mean 0.997, context, 90/10, 2,000 requests": _with_context,
    "all rewards 1, 90/10, 2,000 requests": _constant(1.0, 2000, 0.1),
    "rewards of 0.40 to 0.44 or so, 90/10, 2,000 requests": lambda rng: _log(
        rng, np.full(2000, 0.42), is_graded=True
    ),
    "sticky: 1,000 users of like activity, mean 0.9, sd 0.1": _sticky(1000, 50_000, 0.9, 0.1, 0.0),
    "sticky: 200 users of like activity, mean 0.8, sd 0.2": _sticky(200, 20_000, 0.8, 0.2, 0.0),
    "sticky: 200 users of like activity, mean 0.8, sd 0.2, context": _sticky(
        200, 20_000, 0.8, 0.2, 0.0, has_context=True
    ),
    "sticky: 5,000 users, Zipf 1.1, mean 0.9, sd 0.1": _sticky(5000, 20_000, 0.9, 0.1, 1.1),
    "sticky: 5,000 users, Zipf 1.1, mean 0.9, sd 0.1, drawn anew 20 times": _sticky(
        5000, 20_000, 0.9, 0.1, 1.1, 20
    ),
    "sticky: 5,000 users, Zipf 0.95, mean 0.9, sd 0.1": _sticky(5000, 20_000, 0.9, 0.1, 0.95),
    "sticky: 5,000 users, Zipf 0.9, mean 0.9, sd 0.1": _sticky(5000, 20_000, 0.9, 0.1, 0.9),
    "sticky: 5,000 users, Zipf 0.7, mean 0.9, sd 0.1": _sticky(5000, 20_000, 0.9, 0.1, 0.7),
    "sticky: 5,000 users, Zipf 0.7, mean 0.99, sd 0.02": _sticky(5000, 20_000, 0.99, 0.02, 0.7),
}
