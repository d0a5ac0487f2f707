"""What many routes cost: a micro-batch decides and writes for each route that it touches. Pure."""

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Final

from bench.growth.measure import Point
from bench.growth.results import Growth
from bench.growth.shapes import BASE

__all__ = ["batch_labels", "per_touch", "touched"]

_MOST_LABELS: Final = 100_000


def touched(routes: float, labels: float) -> float:
    """Return how many routes a micro-batch touches for each of its events.

    The expected number of distinct routes, over labels and as many predictions: 0.5 where each
    label is of another route.

    Examples
    --------
    >>> round(touched(1, 1000), 6), round(touched(1e9, 1000), 3)
    (0.0005, 0.5)
    """
    return routes * -math.expm1(-labels / routes) / (2 * labels)


def per_touch(growth: Growth, value: Callable[[Point], float], labels: float) -> float:
    """Fit what one more touched route costs, by least squares of relative errors.

    In the unit of ``value``; 0 where nothing but the base was measured.
    """
    return _line(_medians(growth, value), labels)[0]


def batch_labels(growth: Growth, value: Callable[[Point], float]) -> float:
    """Fit how many labels a micro-batch under load has, from how a cost bends along the routes."""
    medians = _medians(growth, value)
    sizes = [1.1**step for step in range(round(math.log(_MOST_LABELS, 1.1)))]
    return min(sizes, key=lambda labels: _line(medians, labels)[1])


def _medians(growth: Growth, value: Callable[[Point], float]) -> dict[int, float]:
    return {
        at: statistics.median(map(value, points))
        for at in growth.sizes("routes")
        if (points := growth.points("routes", at))
    }


def _line(medians: Mapping[int, float], labels: float) -> tuple[float, float]:
    """Slope of the line through the base, and the sum of its squared relative errors."""
    begin = touched(BASE.routes, labels)
    pairs = [
        ((touched(at, labels) - begin) / y, (y - medians[BASE.routes]) / y)
        for at, y in medians.items()
    ]
    under = sum(x * x for x, _ in pairs)
    slope = sum(x * y for x, y in pairs) / under if under else 0.0
    return slope, sum((y - slope * x) ** 2 for x, y in pairs)
