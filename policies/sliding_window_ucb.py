"""Sliding-window UCB: optimism that forgets all labels older than a window."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, weights_on
from leverframe.policies.statistics import ArmStats
from leverframe.policies.ucb import optimistic_means
from leverframe.policies.water_filling import check_spread, fill_square_root
from leverframe.schemas.errors import PolicyError

__all__ = ["SlidingWindowUcb"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingWindowUcb:
    """UCB on the labels of the last ``window_ms``: ``mean + sqrt(xi log t / count)``.

    Parameters
    ----------
    window_ms : int
        Length of the window, ms, at least 1; 10 minutes by default, ours. A route keeps
        ``bucket_ms * max_buckets`` (20 minutes by default); a longer window sees no more.
    xi : float
        Squared width of the confidence bound, positive; 0.6 as in the paper's simulations (its
        theorem asks for more than 1/2).
    spread : int
        Virtual pulls that one set of weights is made for, at least 1; ours.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Garivier and Moulines (2011), On upper-confidence bound policies for switching bandit problems,
    ALT, section 2.2 (SW-UCB) and theorem 2.
    """

    name: ClassVar[str] = "sliding_window_ucb"
    window_ms: int = 600_000
    xi: float = 0.6
    spread: int = 100

    def __post_init__(self) -> None:
        """Refuse an empty window, a width that is not positive, a spread below one pull."""
        if self.window_ms < 1:
            raise PolicyError(f"{self.name}: window_ms must be at least 1, got {self.window_ms}")
        if not (math.isfinite(self.xi) and self.xi > 0):
            raise PolicyError(f"{self.name}: xi must be positive and finite, got {self.xi}")
        check_spread(self.name, self.spread)

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return each arm's share of the next ``spread`` pulls.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible; ``buckets`` holds their recent labels.
        now_ms : int
            Time of the decision, ms since the epoch.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): together 1; 0 for arms whose index stays below the level reached.

        Notes
        -----
        A bucket counts whole when any part of it lies in the window. t counts the labels of
        eligible arms in the window, plus ``spread``; the paper's window counts pulls, ours time, so
        its bound holds where traffic is steady. An arm without labels in the window counts as
        having the highest mean: it is tried again, which is how a recovered arm is noticed.

        Examples
        --------
        >>> arms = ArmStats.of([100, 100], [50, 60])
        >>> SlidingWindowUcb().propensities(arms, 0)[0].item()  # no bucket: nothing known
        0.5
        """
        at = eligible_arms(arms)
        buckets = arms.buckets
        if not buckets.start_ms.size:
            counts = sums = [0.0] * len(at)
        else:
            recent = buckets.start_ms + buckets.width_ms > now_ms - self.window_ms
            count, total, _ = buckets.weighted(recent.astype(np.float64))
            counts, sums = np.maximum(count[at], 0.0).tolist(), total[at].tolist()
        means = optimistic_means(counts, sums)
        width = math.sqrt(self.xi * math.log(max(2.0, math.fsum(counts) + self.spread)))
        pulls = fill_square_root(means, [width] * len(counts), counts, self.spread)
        return weights_on(arms.n_arms, at, pulls)
