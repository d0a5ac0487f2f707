"""Sums for linear models of the reward, as whole numbers: exact under any order and revision.

Features are clipped to +-1,000 and counted in 1e-6; sums of products in 1e-6 too. They are kept
only on routes that set ``context_dimension``.
"""

from typing import Final

import numpy as np
from msgspec import Struct

from leverframe.policies.statistics import LinearStats

__all__ = ["LARGEST_FEATURE", "LinearSums", "count_context", "linear_stats"]

LARGEST_FEATURE: Final = 1000.0
RECENT_CONTEXTS: Final = 32
_MICRO: Final = 1_000_000


class LinearSums(Struct, array_like=True):
    """Sums of one arm.

    Attributes
    ----------
    gram : list of int
        Upper triangle, row by row, of the sum of x x', in 1e-6; d (d + 1) / 2 numbers.
    moment : list of int
        Sum of reward times x, in 1e-6; d numbers.
    """

    gram: list[int]
    moment: list[int]


def count_context(
    sums: LinearSums | None, context: list[float], unit: float, sign: int
) -> LinearSums:
    """Add a label, or take one away."""
    d = len(context)
    if sums is None:
        sums = LinearSums([0] * (d * (d + 1) // 2), [0] * d)
    x = [min(LARGEST_FEATURE, max(-LARGEST_FEATURE, feature)) for feature in context]
    at = 0
    for i in range(d):
        sums.moment[i] += sign * round(unit * x[i] * _MICRO)
        for j in range(i, d):
            sums.gram[at] += sign * round(x[i] * x[j] * _MICRO)
            at += 1
    return sums


def linear_stats(
    arms: list[LinearSums | None], recent: list[list[float]], dimension: int
) -> LinearStats | None:
    """Lay the sums out as arrays.

    None where d is 0.
    """
    if not dimension:
        return None
    gram = np.zeros((len(arms), dimension, dimension))
    moment = np.zeros((len(arms), dimension))
    upper = np.triu_indices(dimension)
    for k, sums in enumerate(arms):
        if sums is not None and len(sums.moment) == dimension:
            gram[k][upper] = np.array(sums.gram) / _MICRO
            gram[k] = gram[k] + np.triu(gram[k], 1).T
            moment[k] = np.array(sums.moment) / _MICRO
    usable = [context for context in recent if len(context) == dimension]
    contexts = np.array(usable, dtype=np.float64).reshape(len(usable), dimension)
    clipped = np.clip(contexts, -LARGEST_FEATURE, LARGEST_FEATURE)
    return LinearStats(gram=gram, moment=moment, recent=clipped)
