"""How arms stand beside the champion on common rows, for policies with full information."""

from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.statistics import ArmStats

__all__ = ["Standing", "standing"]

Float64: TypeAlias = NDArray[np.float64]

_WIDEST: Final = 0.5
"""Standard deviation of one difference of held-out scores, which is not known: a coin's."""


class Standing(NamedTuple):
    """What is known of each arm beside the champion, four arrays of shape (K,).

    Attributes
    ----------
    rows : NDArray[np.float64]
        In common with the champion, each counted by its age, held-out ones included.
    lead : NDArray[np.float64]
        Mean lead over the champion on them, in [-1, 1].
    error : NDArray[np.float64]
        Its standard error.
    square : NDArray[np.float64]
        Mean squared difference.
    """

    rows: Float64
    lead: Float64
    error: Float64
    square: Float64


def standing(arms: ArmStats, half_life: float, held_out_rows: float) -> Standing:
    """Return how each arm stands beside the champion.

    Parameters
    ----------
    arms : ArmStats
        K arms, one of them the champion.
    half_life : float
        Rows after which a row counts half, above 0.
    held_out_rows : float
        Rows that a difference of held-out scores is worth at most; fewer where an arm has a smaller
        ``validation_count``.

    Returns
    -------
    Standing
        Of K arms; the champion has no rows beside itself.
    """
    home, none = arms.champion, np.zeros(arms.n_arms)
    rows, lead, error, square = none, none, np.full(arms.n_arms, np.inf), none
    if arms.pairs is not None:
        rows, lead, error, square = (one[:, home] for one in arms.pairs.of_late(half_life))
    ahead = arms.validation_score - arms.validation_score[home]
    worth = np.where(np.isfinite(ahead), np.fmin(held_out_rows, _held_out(arms)), 0.0)
    total = rows + worth
    safe = np.where(total > 0, total, 1.0)
    seen = np.where(rows > 0, error, _WIDEST) * rows / safe
    held = _WIDEST * np.sqrt(worth) / safe
    lead = (rows * lead + worth * np.where(worth > 0, ahead, 0.0)) / safe
    return Standing(total, lead, np.hypot(seen, held), (rows * square + worth * _WIDEST**2) / safe)


def _held_out(arms: ArmStats) -> Float64:
    """Rows of held-out data that each arm has at most in common with the champion's; or NaN."""
    counts = arms.validation_count
    if counts is None:
        return np.full(arms.n_arms, np.nan)
    return np.asarray(np.fmin(counts, counts[arms.champion]), dtype=np.float64)
