"""Predicted rewards of all arms for each request, from requests of the other half."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from leverframe.policies.evaluation.logged import LoggedRewards

__all__ = ["cross_fitted"]

Float64: TypeAlias = NDArray[np.float64]


def cross_fitted(logged: LoggedRewards, ridge: float = 1.0) -> Float64:
    """Return what a linear model of each arm expects, fitted without the request itself.

    Even requests are predicted by models of the odd ones, and the other way round: two folds by
    parity, which any drift meets alike, and which a replay repeats. Requests of one unit lie in one
    fold, by the parity of its number.

    Parameters
    ----------
    logged : LoggedRewards
        n requests of K arms with a context.
    ridge : float
        Pull towards the mean reward of all arms, in labels; positive.

    Returns
    -------
    NDArray[np.float64]
        Shape (n, K): clipped to [0, 1]. An arm without labels in a fold gets the fold's mean.

    Notes
    -----
    Features are centred and scaled by their own mean and deviation, and an intercept joins them.
    """
    n = len(logged.reward)
    parity = (np.arange(n) if logged.unit is None else logged.unit) % 2
    features = _features(logged.context if logged.context is not None else np.zeros((n, 0)))
    prior = ridge * np.eye(features.shape[1])
    expected = np.empty((n, len(logged.arms)))
    for fold in (0, 1):
        answers = logged.reward[parity != fold]
        mean = float(answers.mean()) if len(answers) else 0.5
        for arm in range(len(logged.arms)):
            rows = (parity != fold) & (logged.arm == arm)
            x = features[rows]
            theta = np.linalg.solve(x.T @ x + prior, x.T @ (logged.reward[rows] - mean))
            expected[parity == fold, arm] = mean + features[parity == fold] @ theta
    return expected.clip(0.0, 1.0)


def _features(context: Float64) -> Float64:
    """Shape (n, d + 1): a constant 1, and the standardised features."""
    deviation = context.std(axis=0)
    scaled = (context - context.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return np.concatenate([np.ones((len(context), 1)), scaled], axis=1)
