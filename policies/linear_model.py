"""Ridge regression of the reward on the context, one model per arm, at the route's latest contexts.

Both policies on the context stand on this. They publish weights for a route, not a choice for one
request: what they would choose is computed at each of the latest contexts, and averaged.
"""

from collections import Counter
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.statistics import ArmStats
from leverframe.schemas.errors import PolicyError

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
    root = _whitening(linear.gram[at], ridge)
    features, moments = root @ contexts.T, root @ linear.moment[at][:, :, None]
    variance = np.einsum("kde,kde->ke", features, features) + _SMALLEST_SPREAD
    mean = (moments.transpose(0, 2, 1) @ features)[:, 0]
    return Prediction(mean.T, variance.T, copies)


def _distinct(contexts: Float64) -> tuple[Float64, Float64]:
    """Distinct rows, in the order of their first appearance, and how often each appears."""
    everything, width = contexts.tobytes(), contexts.shape[1] * contexts.itemsize
    rows = [everything[at : at + width] for at in range(0, len(everything), width)]
    if len(set(rows)) == len(rows):
        return contexts, np.ones(len(rows))
    seen = Counter(rows)
    distinct = np.frombuffer(b"".join(seen), contexts.dtype).reshape(len(seen), -1)
    return distinct, np.array(list(seen.values()), dtype=np.float64)


def _whitening(gram: Float64, ridge: float) -> Float64:
    """Return a root W of each ``A^-1 = W' W``."""
    n_arms, d, _ = gram.shape
    regular = gram.copy()
    regular.reshape(n_arms, -1)[:, :: d + 1] += ridge
    try:
        root: Float64 = np.linalg.inv(np.linalg.cholesky(regular))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(gram)
        scale = 1.0 / np.sqrt(np.maximum(values, 0.0) + ridge)
        root = vectors.transpose(0, 2, 1) * scale[:, :, None]
    return root
