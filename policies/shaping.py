"""From what a policy wants to what is published: eligibility, nursery, floor, largest step.

The order is fixed. Each step keeps the sum at 1 and the weight of ineligible arms at exactly 0, so
a later step cannot undo what keeps users safe; the step limit alone may hold an arm below the
nursery's or the floor's share for a few updates, while traffic moves. A pin is no step: it
replaces the result (``pinned``).
"""

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, has_eligible_champion, share_equally
from leverframe.policies.statistics import ArmStats
from leverframe.schemas.errors import PolicyError

__all__ = ["FLOORS", "NURSERIES", "floor_of", "nursery_of", "pinned", "shape"]

Float64: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

NURSERIES: Final = 0.3
"""Most that all arms in the nursery have together."""
FLOORS: Final = 0.1
"""Most that all floors take together: with many arms the policy still decides."""


def nursery_of(share: float, in_nursery: int, eligible: int) -> float:
    """Return the weight of each arm in the nursery.

    Parameters
    ----------
    share : float
        As the settings say, 0 to 1.
    in_nursery : int
        Arms in the nursery, at least 1.
    eligible : int
        Arms that may receive traffic, those in the nursery among them.

    Returns
    -------
    float
        No more than an equal split gives, nor than ``NURSERIES`` for all together.

    Examples
    --------
    >>> nursery_of(0.1, 1, 3), nursery_of(0.1, 5, 8)
    (0.1, 0.06)
    """
    return min(share, NURSERIES / in_nursery, 1.0 / eligible)


def floor_of(floor: float, eligible: int) -> float:
    """Return the least weight of each arm that has left the nursery.

    Parameters
    ----------
    floor : float
        As the settings say, 0 to 1.
    eligible : int
        Arms that may receive traffic.

    Returns
    -------
    float
        No more than ``FLOORS`` for all together.

    Examples
    --------
    >>> floor_of(0.02, 3), floor_of(0.02, 50)
    (0.02, 0.002)
    """
    return min(floor, FLOORS / eligible)


def shape(
    weights: Float64,
    *,
    arms: ArmStats,
    nursery: Mask,
    nursery_share: float,
    floor: float,
    previous: Float64 | None,
    max_step: float,
) -> Float64:
    """Bring a policy's propensities within the limits of the route.

    Parameters
    ----------
    weights : NDArray[np.float64]
        Shape (K,): what the policy wants, not negative, finite.
    arms : ArmStats
        K arms, at least one of them eligible.
    nursery : NDArray[np.bool_]
        Shape (K,): arms that are still getting their first labels.
    nursery_share : float
        Weight of each arm in the nursery, 0 to 1, whatever the policy wants: nothing is known of it
        yet. See ``nursery_of`` for its limits.
    floor : float
        Weight that every other eligible arm gets before the rest is divided, 0 to 1. See
        ``floor_of`` for its limit.
    previous : NDArray[np.float64] or None
        Shape (K,): the weights in force, None when there are none yet. What they give to arms that
        are no longer eligible goes to the others in proportion, at once.
    max_step : float
        Largest change of any one weight in this update, in (0, 1]. All weights go the same part of
        the way, so the sum holds and the target is reached in ceil(distance / max_step) updates.

    Returns
    -------
    NDArray[np.float64]
        Shape (K,): at least 0, together 1, exactly 0 for ineligible arms.

    Raises
    ------
    PolicyError
        If no arm is eligible, or an argument lies outside its range.

    Examples
    --------
    >>> shape(
    ...     np.array([0.0, 1.0]),
    ...     arms=ArmStats.of([9, 9], [1, 9]),
    ...     nursery=np.array([False, False]),
    ...     nursery_share=0.05,
    ...     floor=0.01,
    ...     previous=np.array([1.0, 0.0]),
    ...     max_step=0.25,
    ... )
    array([0.75, 0.25])
    """
    _check(weights, arms.n_arms, nursery_share, floor, max_step)
    eligible_arms(arms)  # at least one
    target = _with_nursery(_on_eligible(weights, arms), arms, nursery, nursery_share, floor)
    return _limit(target, previous, arms.eligible, max_step)


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


def _on_eligible(weights: Float64, arms: ArmStats) -> Float64:
    """Weights of eligible arms scaled to 1; without any, the champion's, else an equal split."""
    kept = np.where(arms.eligible, weights, 0.0)
    total = _total(kept)
    if total > 0:
        return kept / total
    if has_eligible_champion(arms):
        return pinned(arms.n_arms, arms.champion)
    return share_equally(arms.n_arms, eligible_arms(arms))


def _with_nursery(
    target: Float64, arms: ArmStats, nursery: Mask, nursery_share: float, floor: float
) -> Float64:
    """Give each arm of the nursery its share and divide what is left among the grown ones."""
    young = nursery & arms.eligible
    n_eligible, n_young = int(arms.eligible.sum()), int(young.sum())
    if n_young == n_eligible:
        return share_equally(arms.n_arms, eligible_arms(arms))
    least, share = floor_of(floor, n_eligible), 0.0
    if n_young:
        share = nursery_of(nursery_share, n_young, n_eligible)
        target = _on_grown(target, arms, young)
    left = (1.0 - n_young * share) - (n_eligible - n_young) * least
    return np.where(young, share, np.where(arms.eligible, left * target + least, 0.0))


def _on_grown(target: Float64, arms: ArmStats, young: Mask) -> Float64:
    """What the policy wants among the arms that have left the nursery, scaled to 1."""
    grown = np.where(young, 0.0, target)
    total = _total(grown)
    if total > 0:
        return grown / total
    if has_eligible_champion(arms) and not young[arms.champion]:
        return pinned(arms.n_arms, arms.champion)
    return share_equally(arms.n_arms, np.flatnonzero(arms.eligible & ~young))


def _limit(target: Float64, previous: Float64 | None, eligible: Mask, max_step: float) -> Float64:
    """Go the largest part of the way that moves no weight by more than ``max_step``."""
    if previous is None:
        return target
    start = np.where(eligible, previous, 0.0)
    total = _total(start)
    if not total > 0:
        return target
    start /= total
    change = target - start
    largest = float(np.abs(change).max())
    if largest <= max_step:
        return target
    return np.maximum(start + (max_step / largest) * change, 0.0)
