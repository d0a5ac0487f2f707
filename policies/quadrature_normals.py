"""P(arm is best) for normal posteriors in many situations at once, such as one a context.

The integral of ``policies.quadrature``, laid out for arrays: every situation gets its own panels,
and the panels of all situations are one batch. Each starts from an exact value of the distribution
functions, so that none waits for the one before it.

References
----------
As in ``policies.quadrature``.
"""

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.special import ndtr

__all__ = ["best_of_normals_by_row"]

Float64: TypeAlias = NDArray[np.float64]

_POINTS: Final = 20
_REACH: Final = 6.0  # standard deviations, beyond which 1e-9 of a posterior lies on either side
_PANEL: Final = 6.0  # longest panel, in standard deviations of the sharpest arm not yet ended
_SHORT_PANEL: Final = 4.0  # the same for many arms, whose maximum rises more steeply than any
_MANY_ARMS: Final = 20
_MOST_PANELS: Final = 1000
_BLOCK: Final = 800  # pairs at a time: 128 kB an array, which stay in the cache
_SHARPEST: Final = 2.0**-40  # least deviation next to the distance from the highest mean


def _rule() -> tuple[Float64, Float64, Float64]:
    """Nodes and weights on [0, 1], and the (q, q) matrix of integrals from 0 to each node."""
    nodes, weights = legendre.leggauss(_POINTS)
    to_values = np.linalg.inv(legendre.legvander(nodes, _POINTS - 1))
    rising = [legendre.legval(nodes, legendre.legint(row, lbnd=-1)) for row in np.eye(_POINTS)]
    return (nodes + 1) / 2, weights / 2, np.ascontiguousarray(to_values.T @ np.array(rising) / 2)


_NODES, _WEIGHTS, _INTEGRALS = _rule()
_BASIS: Final = np.array((np.ones(_POINTS), -_NODES, -0.5 * _NODES * _NODES))
_HALF_LOG_2_PI: Final = 0.5 * math.log(2.0 * math.pi)


def best_of_normals_by_row(mean: Float64, deviation: Float64) -> Float64:
    """Return the chance of each of K independent normal variables to be the largest, D times.

    Parameters
    ----------
    mean : NDArray[np.float64]
        Shape (D, K): finite.
    deviation : NDArray[np.float64]
        Shape (D, K): positive standard deviations, in the unit of the means.

    Returns
    -------
    NDArray[np.float64]
        Shape (D, K): each row together 1, each chance within 1e-6 of the truth. Columns that are
        equal throughout get equal bits, and the order of the columns changes no bit.

    Examples
    --------
    >>> mean, deviation = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.6, 0.8], [0.1, 9.0]])
    >>> best_of_normals_by_row(mean, deviation).round(6)
    array([[0.158655, 0.841345],
           [0.5     , 0.5     ]])
    """
    columns = [m.tobytes() + s.tobytes() for m, s in zip(mean.T, deviation.T, strict=True)]
    kinds = {column: at for at, column in enumerate(columns)}
    order = sorted(kinds)
    if len(order) == 1:
        return np.full(mean.shape, 1.0 / len(columns))
    at = [kinds[column] for column in order]
    copies = np.array([float(columns.count(column)) for column in order])
    best = _integrate(mean.T[at], deviation.T[at], copies)
    best /= (best * copies[:, None]).sum(axis=0)
    place = {column: row for row, column in enumerate(order)}
    return best[[place[column] for column in columns]].T


def _integrate(mean: Float64, deviation: Float64, copies: Float64) -> Float64:
    """P(best), not yet scaled, of one arm of each of A kinds (rows) in D situations (columns)."""
    distance = mean - np.maximum.reduce(mean)
    deviation = np.maximum(deviation, -_SHARPEST * distance)
    reach = _REACH * deviation
    high = distance + reach
    longest = (_PANEL if copies.sum() <= _MANY_ARMS else _SHORT_PANEL) * deviation
    edges = _march(np.maximum.reduce(distance - reach), high, longest)
    left, lengths = edges[:-1], edges[1:] - edges[:-1]
    # Pairs of a panel (row by row of edges, then by situation) and an arm that has not yet ended.
    live = (left[:, :, None] < high.T) & (lengths > 0)[:, :, None]
    pairs = np.flatnonzero(live)
    arm_there, panel = pairs % mean.size, pairs // len(mean)
    sharpness = (1.0 / deviation).T.take(arm_there)
    z = (left.take(panel) - distance.T.take(arm_there)) * sharpness
    steps = lengths.take(panel) * sharpness
    # The log of step * density(z + step * node), as a polynomial in the node.
    powers = np.array((np.log(steps) - _HALF_LOG_2_PI - 0.5 * z * z, z * steps, steps * steps))
    below, arm_copies = ndtr(z), copies.take(arm_there % len(mean))
    arms_per_panel = np.add.reduce(live, axis=2).ravel()
    arms_per_panel = arms_per_panel[arms_per_panel > 0]
    ends = arms_per_panel.cumsum()
    chances = np.empty(len(pairs))
    first, n_panels = 0, len(ends)
    while first < n_panels:
        start = int(ends[first]) - int(arms_per_panel[first])
        after = max(first + 1, int(ends.searchsorted(start + _BLOCK, side="right")))
        block = slice(start, int(ends[after - 1]))
        chances[block] = _chances(
            powers[:, block], below[block], arm_copies[block], arms_per_panel[first:after]
        )
        first = after
    best = np.bincount(arm_there, chances, mean.size).reshape(-1, len(mean)).T
    return best.astype(np.float64, copy=False)


def _chances(
    powers: Float64, below: Float64, copies: Float64, arms_per_panel: NDArray[np.intp]
) -> Float64:
    """Contribution to P(best) of pairs of a panel and an arm, panel by panel."""
    mass = powers.T @ _BASIS
    np.exp(mass, out=mass)
    cdf = mass @ _INTEGRALS
    cdf += below[:, None]
    mass /= cdf
    if copies.max() > 1:
        cdf **= copies[:, None]
    starts = arms_per_panel.cumsum() - arms_per_panel
    mass *= np.multiply.reduceat(cdf, starts, axis=0).repeat(arms_per_panel, axis=0)
    chances: Float64 = mass @ _WEIGHTS
    return chances


def _march(start: Float64, high: Float64, longest: Float64) -> Float64:
    """Edges of each situation's panels, one row an edge; the last repeats in shorter ones."""
    end, edges = np.maximum.reduce(high), [start]
    for _ in range(_MOST_PANELS):
        here = edges[-1]
        step = np.minimum.reduce(np.where(high > here, longest, np.inf))
        following = np.minimum(here + step, end)
        edges.append(following)
        if (following == end).all():
            break
    return np.array(edges)
