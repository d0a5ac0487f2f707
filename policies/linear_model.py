"""Ridge regression of the reward on the context, one model per arm, at the route's latest contexts.

Both policies on the context stand on this. They publish weights for a route, not a choice for one
request: what they would choose is computed at each of the latest contexts, and averaged.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from policies.statistics import ArmStats
from schemas.errors import PolicyError

__all__ = ["Prediction", "check_positive", "predict"]

Float64: TypeAlias = NDArray[np.float64]

_SMALLEST_SPREAD = 1e-18  # of a predicted mean, squared: rewards are counted in 1e-9


class Prediction(NamedTuple):
    """Expected rewards of E arms at D distinct contexts.

    Attributes
    ----------
    mean : NDArray[np.float64]
        Shape (D, E): ``theta' x``, rewards mapped to [0, 1]; may lie outside where x is unusual.
    variance : NDArray[np.float64]
        Shape (D, E): ``x' A^-1 x``, positive, at most 1e-18 above the truth; times the variance of
        a reward it is that of the mean.
    copies : NDArray[np.float64]
        Shape (D,): how many of the m latest contexts are the same as this one.
    """

    mean: Float64
    variance: Float64
    copies: Float64


def check_positive(policy: str, parameter: str, value: float) -> None:
    """Refuse a parameter that is no positive finite number.

    Parameters
    ----------
    policy : str
        Its name, for the message.
    parameter : str
        Its name, for the message.
    value : float
        As given.

    Raises
    ------
    PolicyError
        Naming the parameter.
    """
    if not 0 < value < float("inf"):
        raise PolicyError(f"{policy}: {parameter} must be positive and finite, got {value}")


def predict(arms: ArmStats, at: NDArray[np.intp], ridge: float) -> Prediction:
    """Return what the models expect of some arms at the latest contexts.

    With ``A = ridge I + gram`` and ``theta = A^-1 moment`` for each arm apart (disjoint models).

    Parameters
    ----------
    arms : ArmStats
        K arms.
    at : NDArray[np.intp]
        Shape (E,): the arms to look at.
    ridge : float
        Weight of the prior ``theta = 0``, in labels at a context of length 1; positive.

    Returns
    -------
    Prediction
        Without linear statistics, or before the first context, the one context is ``x = [1]``, with
        its sums taken from the counts: the same model without features.

    Notes
    -----
    Cholesky factors, so that variances cannot come out negative. Where A is too close to singular
    for that (sums beyond 1e15 times ``ridge``), by eigenvalues, those below 0 taken as 0. Each arm
    is computed alone: equal arms get equal bits, and the order of the arms changes none.

    Examples
    --------
    >>> answer = predict(ArmStats.of([9, 99], [3, 88]), np.array([0, 1]), 1.0)
    >>> answer.mean, answer.variance
    (array([[0.3 , 0.88]]), array([[0.1 , 0.01]]))
    """
    linear = arms.linear
    if linear is None or not len(linear.recent):
        labels = np.maximum(arms.count[at], 0.0) + ridge
        return Prediction((arms.reward_sum[at] / labels)[None], (1.0 / labels)[None], np.ones(1))
    contexts, copies = _distinct(linear.recent)
    gram = linear.gram[at]
    solved = _whiten(gram, ridge, _beside(contexts, linear.moment[at]))
    features, moments = solved[:, :, :-1], solved[:, :, -1:]
    variance = (features * features).sum(axis=1) + _SMALLEST_SPREAD
    return Prediction((features * moments).sum(axis=1).T, variance.T, copies)


def _distinct(contexts: Float64) -> tuple[Float64, Float64]:
    """Distinct rows, in the order of their first appearance, and how often each appears."""
    rows: dict[bytes, list[int]] = {}
    for row, context in enumerate(contexts):
        rows.setdefault(context.tobytes(), []).append(row)
    if len(rows) == len(contexts):
        return contexts, np.ones(len(contexts))
    firsts = [same[0] for same in rows.values()]
    return contexts[firsts], np.array([float(len(same)) for same in rows.values()])


def _beside(contexts: Float64, moments: Float64) -> Float64:
    """Shape (E, d, D + 1): the contexts as columns, for each arm its moment beside them."""
    n_arms, d = moments.shape
    columns = np.empty((n_arms, d, len(contexts) + 1))
    columns[:, :, :-1] = contexts.T
    columns[:, :, -1] = moments
    return columns


def _whiten(gram: Float64, ridge: float, columns: Float64) -> Float64:
    """Multiply columns by a root W of each ``A^-1 = W' W``."""
    try:
        root = np.linalg.inv(np.linalg.cholesky(gram + ridge * np.eye(gram.shape[-1])))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(gram)
        scale = 1.0 / np.sqrt(np.maximum(values, 0.0) + ridge)
        root = vectors.transpose(0, 2, 1) * scale[:, :, None]
    whitened: Float64 = root @ columns
    return whitened
