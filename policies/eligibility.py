"""Which arms may receive traffic, and weights that live on these arms alone."""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leverframe.policies.statistics import ArmStats
from leverframe.schemas.errors import PolicyError

__all__ = ["eligible_arms", "has_eligible_champion", "share_equally", "weights_on"]

Float64: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]


def eligible_arms(arms: ArmStats) -> Indices:
    """Return the indices of the arms that may receive traffic.

    Parameters
    ----------
    arms : ArmStats
        K arms.

    Returns
    -------
    NDArray[np.intp]
        Shape (E,), rising, E at least 1.

    Raises
    ------
    PolicyError
        If no arm is eligible: there is nothing to choose from.

    Examples
    --------
    >>> eligible_arms(ArmStats.of([1, 1, 1], [0, 0, 0], eligible=[True, False, True])).tolist()
    [0, 2]
    """
    indices: Indices = arms.eligible.nonzero()[0]
    if not indices.size:
        raise PolicyError(f"eligible: none of the {arms.n_arms} arms may receive traffic")
    return indices


def has_eligible_champion(arms: ArmStats) -> bool:
    """Return whether the route has a champion and the champion may receive traffic.

    Parameters
    ----------
    arms : ArmStats
        K arms.

    Returns
    -------
    bool
        False also when ``champion`` is -1.
    """
    return 0 <= arms.champion < arms.n_arms and bool(arms.eligible[arms.champion])


def weights_on(n_arms: int, indices: Indices, shares: ArrayLike) -> Float64:
    """Return weights of all arms that give the named ones their shares, scaled to sum to 1.

    Parameters
    ----------
    n_arms : int
        K.
    indices : NDArray[np.intp]
        Shape (E,): arms that get a share.
    shares : array_like
        Shape (E,), not negative; equal shares when all are 0.

    Returns
    -------
    NDArray[np.float64]
        Shape (K,), 0 elsewhere. The sum is exact, so the order of the arms changes no bit.

    Examples
    --------
    >>> weights_on(3, np.array([0, 2]), [3.0, 1.0])
    array([0.75, 0.  , 0.25])
    """
    values = np.asarray(shares, dtype=np.float64)
    total = math.fsum(values.tolist())
    if not total > 0:  # nothing told the arms apart, as at counts beyond 1e15
        return share_equally(n_arms, indices)
    weights = np.zeros(n_arms)
    weights[indices] = values / total
    return weights


def share_equally(n_arms: int, indices: Indices) -> Float64:
    """Return weights that are equal on the named arms and 0 elsewhere.

    Parameters
    ----------
    n_arms : int
        K.
    indices : NDArray[np.intp]
        Shape (E,), E at least 1.

    Returns
    -------
    NDArray[np.float64]
        Shape (K,).

    Examples
    --------
    >>> share_equally(3, np.array([0, 2]))
    array([0.5, 0. , 0.5])
    """
    weights = np.zeros(n_arms)
    weights[indices] = 1.0 / len(indices)
    return weights
