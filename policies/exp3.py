"""EXP3: no assumption on the rewards at all, they may even be chosen by an adversary."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, weights_on
from leverframe.policies.statistics import ArmStats
from leverframe.schemas.errors import PolicyError

__all__ = ["Exp3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exp3:
    """Weigh arms exponentially in their estimated total reward, and mix in equal exploration.

    Parameters
    ----------
    gamma : float
        Share of traffic that is spread equally, in (0, 1]; 0.1 by default, ours.
    eta : float or None
        Learning rate per unit of reward, positive; ``gamma / E`` for E eligible arms when left out,
        as in the paper.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Auer, Cesa-Bianchi, Freund and Schapire (2002), The nonstochastic multiarmed bandit problem,
    SIAM Journal on Computing 32(1), section 3 (figure 1, theorem 3.1).
    """

    name: ClassVar[str] = "exp3"
    gamma: float = 0.1
    eta: float | None = None

    def __post_init__(self) -> None:
        """Refuse no exploration and a rate that is not positive."""
        if not 0 < self.gamma <= 1:
            raise PolicyError(f"exp3: gamma must lie in (0, 1], got {self.gamma}")
        if self.eta is not None and not (math.isfinite(self.eta) and self.eta > 0):
            raise PolicyError(f"exp3: eta must be positive and finite, got {self.eta}")

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return the chance of each arm being chosen next.

        Parameters
        ----------
        arms : ArmStats
            K arms, E of them eligible; ``inverse_propensity_sum`` estimates the total reward that
            each arm would have brought.
        now_ms : int
            Time of the decision, ms since the epoch; not used.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): at least ``gamma / E`` for eligible arms, together 1.

        Notes
        -----
        The bound wants gamma tuned to the horizon, all arms there from the start, and the logged
        propensity to be the true one. An arm registered late starts at an estimate of 0, far
        behind, and lives on ``gamma / E`` and the nursery. Predictions without a propensity count
        for nothing.

        Examples
        --------
        >>> Exp3().propensities(ArmStats.of([10, 10], [3, 7]), 0)[0].item()  # no propensity logged
        0.5
        """
        del now_ms
        at = eligible_arms(arms)
        rate = self.gamma / len(at) if self.eta is None else self.eta
        estimates = arms.inverse_propensity_sum[at]
        weights = np.exp(rate * (estimates - estimates.max()))
        mixed = (1.0 - self.gamma) * weights / math.fsum(weights.tolist()) + self.gamma / len(at)
        return weights_on(arms.n_arms, at, mixed)
