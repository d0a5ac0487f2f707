"""The mean reward of an arm whose labels are still coming, without the bias of what comes first.

Labels of young predictions are those that come fast. Where good and bad outcomes take different
times (a sale comes days after the click that a refusal follows at once), the plain mean of what has
come is biased, the more the younger the arm's traffic is. Here every label counts as many times as
its chance of having been seen demands: one over the share of predictions that have reached its age.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["corrected_sums"]

Float64: TypeAlias = NDArray[np.float64]

LEAST_SHARE: Final = 0.05
"""Of an arm's predictions, at an age that few have reached: else one label there would count like
all others together (truncated weights, Cole and Hernan 2008)."""


def corrected_sums(changes: Float64, reached: Float64, default: float | None = None) -> Float64:
    """Weigh what became known at each age by how many predictions have reached that age.

    Parameters
    ----------
    changes : NDArray[np.float64]
        Shape (K, B, 3): for K arms, at B rising ages of a prediction, by how much the count, the
        sum and the sum of squares of rewards (mapped to [0, 1]) changed. A label is a change at its
        delay, a revision another one at its own, and a withdrawal takes away at the age at which it
        came.
    reached : NDArray[np.float64]
        Shape (K, B): predictions that have reached each age; falling along B.
    default : float, optional
        What a request without a label counts (mapped to [0, 1]), where silence is an answer.

    Returns
    -------
    NDArray[np.float64]
        Shape (K, 3): effective count, and the sums of rewards and of their squares that make the
        corrected means with it. All 0 for an arm of which nothing is known.

    Notes
    -----
    Age is known for every prediction and does not depend on its outcome, so predictions are
    censored at random, and the sum over ages of (change at this age) / (predictions that reached
    it) estimates what one prediction comes to without bias: Horvitz and Thompson (1952), with the
    censoring weights of Robins and Rotnitzky (1992). Without a default the mean is the ratio of two
    such sums, of rewards and of labels: consistent, with a bias of O(1/n). What takes longer than
    the oldest prediction cannot be seen. Where all labels come at one age the weights are equal,
    and the sums are the plain ones. The effective count is Kish's (1965); with a default it is the
    harmonic mean of ``reached`` over the ages at which something becomes known, of this arm and of
    all arms together, so that an arm that is too young for its labels counts little.

    Examples
    --------
    Refusals come within a second, sales after an hour, and half of the predictions are younger:

    >>> changes = np.array([[[50.0, 0.0, 0.0], [25.0, 25.0, 25.0]]])
    >>> count, total, _ = corrected_sums(changes, np.array([[100.0, 50.0]]))[0]
    >>> round(25 / 75, 2), round(float(total / count), 2)
    (0.33, 0.5)
    """
    labels = np.maximum(changes[:, :, 0], 0.0)
    # Predictions are told a second after their labels: never fewer than what was labelled.
    at_risk = np.maximum(reached, np.cumsum(labels[:, ::-1], axis=1)[:, ::-1])
    at_risk = np.maximum(at_risk, LEAST_SHARE * at_risk.max(axis=1, initial=0.0)[:, None])
    weights = np.divide(1.0, at_risk, out=np.zeros_like(at_risk), where=at_risk > 0)
    known = np.einsum("kb,kbc->kc", weights, changes)
    if default is None:
        spread = (weights**2 * labels).sum(axis=1)
        effective = _ratio((weights * labels).sum(axis=1) ** 2, spread)
        effective = np.where(known[:, 0] > 0, effective, 0.0)
        return _sums(effective, _ratio(known[:, 1], known[:, 0]), _ratio(known[:, 2], known[:, 0]))
    mean = default + known[:, 1] - default * known[:, 0]
    squares = default**2 + known[:, 2] - default**2 * known[:, 0]
    moved = weights * np.abs(changes[:, :, 1] - default * changes[:, :, 0])
    matters = _shares(moved) + _shares(np.broadcast_to(moved.sum(axis=0), moved.shape))
    # An age that matters and that nobody has reached yet leaves an arm unknown.
    unseen = ((matters > 0) & (weights <= 0)).any(axis=1)
    sure = np.where(unseen, 0.0, _ratio(matters.sum(axis=1), (matters * weights).sum(axis=1)))
    # Nothing but defaults so far, on any arm: as many as have fallen due.
    sure = np.where(matters.sum(axis=1) > 0, sure, np.maximum(changes[:, :, 0].sum(axis=1), 0.0))
    return _sums(sure, mean, squares)


def _ratio(part: Float64, whole: Float64) -> Float64:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def _shares(moved: Float64) -> Float64:
    return moved * _ratio(np.ones(len(moved)), moved.sum(axis=1))[:, None]


def _sums(count: Float64, mean: Float64, squares: Float64) -> Float64:
    """The mean lies in [0, 1], and the mean square between its square and itself."""
    mean = np.clip(mean, 0.0, 1.0)
    squares = np.clip(squares, mean * mean, mean)
    return np.stack([count, count * mean, count * squares], axis=1)
