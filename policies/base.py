"""What every policy is: a frozen value with one pure method."""

from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.statistics import ArmStats

__all__ = ["Policy"]


@runtime_checkable
class Policy(Protocol):
    """Maps the statistics of a route's arms to propensities; holds no state and draws nothing.

    Attributes
    ----------
    name : str
        The word used in settings and commands, as registered in ``policies.registry``.

    Notes
    -----
    A policy with a true ``is_by_hand`` has its weights published as they are: the limits of
    nursery, floor and largest step are for policies that learn.
    """

    name: ClassVar[str]

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """Return the chance of each arm being chosen next.

        Parameters
        ----------
        arms : ArmStats
            K arms, at least one of them eligible.
        now_ms : int
            Time of the decision, ms since the epoch (stream time, so that a replay agrees).

        Returns
        -------
        NDArray[np.float64]
            Shape (K,): at least 0, together 1, exactly 0 for arms that are not eligible.
        """
        ...
