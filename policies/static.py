"""Weights by hand: a person says who gets how much; guard and probation still watch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.eligibility import eligible_arms, has_eligible_champion, share_equally
from leverframe.policies.statistics import ArmStats
from leverframe.schemas.errors import PolicyError

__all__ = ["Static"]

_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """Give each arm the weight that was written down for it, whatever its labels say.

    What an arm cannot take, since it was rolled back or is not registered yet, goes to the
    champion. Weights are published as they are: neither nursery nor floor nor largest step applies.

    Parameters
    ----------
    weights : mapping of str to float
        Weight of each arm by name, at least 0, together 1; an arm that is not named has 0. Empty:
        all arms share equally.

    Raises
    ------
    PolicyError
        If a weight is negative or not finite, or they do not add up to 1.

    References
    ----------
    Weighted routing by hand, as canary tools have it.
    """

    name: ClassVar[str] = "static"
    is_by_hand: ClassVar[bool] = True
    weights: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Refuse weights that are no shares of the traffic."""
        for arm, weight in self.weights.items():
            if not 0 <= weight <= 1:
                raise PolicyError(f"static: weights[{arm!r}] must lie in [0, 1], got {weight}")
        total = math.fsum(self.weights.values())
        if self.weights and abs(total - 1.0) > _TOLERANCE:
            raise PolicyError(f"static: weights must add up to 1, these to {total:g}")

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return the weights as written, with what is left over for the champion.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible; ``names`` says which is which.
        now_ms : int
            Time of the decision, ms since the epoch; not used.

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): at least 0, together 1. Without an eligible champion what is left over is
            shared equally.

        Examples
        --------
        >>> arms = ArmStats.of([10, 10], [9, 5], names=["a", "b"])
        >>> Static(weights={"a": 0.75, "b": 0.25}).propensities(arms, 0)
        array([0.75, 0.25])
        """
        del now_ms
        written = [self.weights.get(name, 0.0) for name in arms.names] or [0.0] * arms.n_arms
        shares = np.where(arms.eligible, written, 0.0)
        rest = max(0.0, 1.0 - math.fsum(shares))
        if self.weights and has_eligible_champion(arms):
            heirs = np.array([arms.champion])
        else:
            heirs = eligible_arms(arms)
        return shares + rest * share_equally(arms.n_arms, heirs)
