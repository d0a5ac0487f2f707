"""Do serving systems follow the weights? An anytime-valid test for a sample-ratio mismatch.

A prediction made with weight ``w`` on an arm goes to it with chance ``w``. Someone who bets that
the odds are really ``r`` times as large multiplies the wealth by the likelihood ratio of the two
coins: that has mean 1 while the weights are followed, whatever they are and however they change.

The bet assumes independent draws. Where the unit is a user with many requests, each unit is one
draw for as long as it keeps its salt; where predictions do not name it the mix scatters more, and
the check is to be switched off.

References
----------
Lindon and Malek (2022), Anytime-valid inference for multinomial count data, NeurIPS: the same aim
with a Dirichlet mixture. Odds ratios are used here since they let the weights change at any time.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_MIX_UNITS", "ODDS_RATIOS", "log_growth_of_mix"]

ODDS_RATIOS: Final = np.array([0.2, 0.5, 0.8, 1.25, 2.0, 5.0])
MOST_MIX_UNITS: Final = 1024
"""Units of a period that the test remembers; see ``policies.guard.seen``."""
_LEAST: Final = 1e-6  # an arm without weight that is served all the same is found in a few requests


def log_growth_of_mix(count: int, total: int, weight: float) -> NDArray[np.float64]:
    """Return by how much each odds ratio's log wealth changes.

    Parameters
    ----------
    count : int
        Predictions of the arm.
    total : int
        Predictions of all arms with the same weights, at least ``count``.
    weight : float
        The arm's, 0 to 1.

    Returns
    -------
    NDArray[np.float64]
        Shape (len(ODDS_RATIOS),), nats.

    Examples
    --------
    >>> log_growth_of_mix(50, 100, 0.5).round(1)
    array([-29.4,  -5.9,  -0.6,  -0.6,  -5.9, -29.4])
    """
    share = min(1 - _LEAST, max(_LEAST, weight))
    growth: NDArray[np.float64] = count * np.log(ODDS_RATIOS) - total * np.log1p(
        share * (ODDS_RATIOS - 1)
    )
    return growth
