"""From what a policy wants to what is published: eligibility, nursery, floor, largest step.

The order is fixed. Each step keeps the sum at 1 and the weight of ineligible arms at exactly 0, so
a later step cannot undo what keeps users safe; the step limit alone may hold an arm below the
nursery's or the floor's share for a few updates, while traffic moves. A pin is no step: it
replaces the result (``pinned``).
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, has_eligible_champion, share_equally
from leverframe.policies.statistics import ArmStats
from leverframe.schemas.errors import PolicyError

__all__ = ["Shaped", "pinned", "shape"]

Float64: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaped:
    """Weights ready to be published, and what shaping did to them.

    Attributes
    ----------
    weights : NDArray[np.float64]
        Shape (K,): at least 0, together 1, exactly 0 for ineligible arms.
    steps : tuple of str
        Those of ``eligibility``, ``nursery``, ``floor`` and ``step`` that changed something.
    """

    weights: Float64
    steps: tuple[str, ...]


def shape(
    weights: Float64,
    *,
    arms: ArmStats,
    nursery: Mask,
    nursery_share: float,
    floor: float,
    previous: Float64 | None,
    max_step: float,
) -> Shaped:
    """Bring a policy's propensities within the limits of the route.

    Parameters
    ----------
    weights : NDArray[np.float64]
        Shape (K,): what the policy wants, not negative, finite.
    arms : ArmStats
        K arms, at least one of them eligible.
    nursery : NDArray[np.bool_]
        Shape (K,): arms that are still getting their first pulls.
    nursery_share : float
        Least weight of each arm in the nursery, 0 to 1, taken from the other arms in proportion to
        their weights; no more than an equal split gives.
    floor : float
        Weight that every eligible arm gets before the rest is divided, 0 to 1; no more than an
        equal split gives.
    previous : NDArray[np.float64] or None
        Shape (K,): the weights in force, None when there are none yet. What they give to arms that
        are no longer eligible goes to the others in proportion, at once.
    max_step : float
        Largest change of any one weight in this update, in (0, 1]. All weights go the same part of
        the way, so the sum holds and the target is reached in ceil(distance / max_step) updates.

    Returns
    -------
    Shaped
        Weights of shape (K,) and the steps that changed them.

    Raises
    ------
    PolicyError
        If no arm is eligible, or an argument lies outside its range.

    Examples
    --------
    >>> shaped = shape(
    ...     np.array([0.0, 1.0]),
    ...     arms=ArmStats.of([9, 9], [1, 9]),
    ...     nursery=np.array([False, False]),
    ...     nursery_share=0.05,
    ...     floor=0.01,
    ...     previous=np.array([1.0, 0.0]),
    ...     max_step=0.25,
    ... )
    >>> shaped.weights, shaped.steps
    (array([0.75, 0.25]), ('floor', 'step'))
    """
    _check(weights, arms.n_arms, nursery_share, floor, max_step)
    indices = eligible_arms(arms)
    steps = []
    target, was_ineligible = _on_eligible(weights, arms)
    if was_ineligible:
        steps.append("eligibility")
    target, is_lifted = _lift(target, nursery & arms.eligible, min(nursery_share, 1 / indices.size))
    if is_lifted:
        steps.append("nursery")
    floored = _floor(target, arms.eligible, min(floor, 1.0 / indices.size), indices.size)
    if np.abs(floored - target).max() > 1e-12:
        steps.append("floor")
    limited, is_limited = _limit(floored, previous, arms.eligible, max_step)
    if is_limited:
        steps.append("step")
    return Shaped(weights=limited, steps=tuple(steps))


def pinned(n_arms: int, index: int) -> Float64:
    """Return weights that give one arm everything, as a pin by a person does.

    Parameters
    ----------
    n_arms : int
        K.
    index : int
        Of the pinned arm, 0 to K - 1.

    Returns
    -------
    NDArray[np.float64]
        Shape (K,).

    Examples
    --------
    >>> pinned(3, 1)
    array([0., 1., 0.])
    """
    if not 0 <= index < n_arms:
        raise PolicyError(f"index must lie in 0..{n_arms - 1}, got {index}")
    return share_equally(n_arms, np.array([index]))


def _check(
    weights: Float64, n_arms: int, nursery_share: float, floor: float, max_step: float
) -> None:
    if weights.shape != (n_arms,):
        raise PolicyError(f"weights must have shape ({n_arms},), got {weights.shape}")
    if not (weights >= 0).all() or not np.isfinite(weights).all():
        raise PolicyError(f"weights must be finite and not negative, got {weights.tolist()}")
    for name, value in (("nursery_share", nursery_share), ("floor", floor)):
        if not 0 <= value <= 1:
            raise PolicyError(f"{name} must lie in [0, 1], got {value}")
    if not 0 < max_step <= 1:
        raise PolicyError(f"max_step must lie in (0, 1], got {max_step}")


def _total(weights: Float64) -> float:
    """The exact sum, rounded once: the order of the arms changes no bit."""
    return math.fsum(weights.tolist())


def _on_eligible(weights: Float64, arms: ArmStats) -> tuple[Float64, bool]:
    """Weights of the eligible arms scaled to 1, and whether any weight had to be taken away."""
    kept = np.where(arms.eligible, weights, 0.0)
    total = _total(kept)
    if total > 0:
        return kept / total, bool((weights > kept).any())
    if has_eligible_champion(arms):
        return pinned(arms.n_arms, arms.champion), True
    return share_equally(arms.n_arms, eligible_arms(arms)), True


def _lift(weights: Float64, nursery: Mask, share: float) -> tuple[Float64, bool]:
    """Raise the nursery's arms to ``share``; paying can push another one below, hence the loop."""
    lifted = nursery & (weights < share)
    if not lifted.any():
        return weights, False
    while True:
        rest = np.where(lifted, 0.0, weights)
        left = max(0.0, 1.0 - share * int(lifted.sum()))
        total = _total(rest)  # 0 only where shares of 1/K rounded differently
        result = np.where(lifted, share, left * (rest / total) if total > 0 else 0.0)
        more = nursery & ~lifted & (result < share)
        if not more.any():
            return result, True
        lifted |= more


def _floor(weights: Float64, eligible: Mask, floor: float, n_eligible: int) -> Float64:
    """Give each eligible arm ``floor`` and divide what is left as before."""
    left = max(0.0, 1.0 - n_eligible * floor)
    return np.where(eligible, left * weights + floor, 0.0)


def _limit(
    target: Float64, previous: Float64 | None, eligible: Mask, max_step: float
) -> tuple[Float64, bool]:
    """Go the largest part of the way that moves no weight by more than ``max_step``."""
    if previous is None:
        return target, False
    start = np.where(eligible, previous, 0.0)
    total = _total(start)
    if not total > 0:
        return target, False
    start /= total
    change = target - start
    largest = float(np.abs(change).max())
    if largest <= max_step:
        return target, False
    return np.maximum(start + (max_step / largest) * change, 0.0), True
