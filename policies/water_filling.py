"""From indices to weights: which arms would be pulled over the next pulls, all at once.

A textbook index policy pulls the arm with the highest index and looks again. Labels are late and
traffic is parallel, so a one-hot for a single pull would send everything one way until the next
update. Weights for the next ``spread`` pulls are published instead: means held fixed, every pull
lowers the index of its arm, until all pulled arms stand at one level, as water fills vessels. The
level decides everything, so the order of the arms cannot matter and equal arms get equal weight.
Pulling one at a time overshoots the level by less than one pull per arm, so that among K arms fewer
than K of the ``spread`` pulls fall elsewhere.
"""

import math
from collections.abc import Callable, Sequence

from leverframe.schemas.errors import PolicyError

__all__ = ["check_spread", "fill", "fill_square_root"]

_TOLERANCE = 1e-9
_MOST_STEPS = 64


def check_spread(policy: str, spread: int) -> None:
    """Refuse a spread of no pull.

    Parameters
    ----------
    policy : str
        Its name, for the message.
    spread : int
        Virtual pulls.

    Raises
    ------
    PolicyError
        If ``spread`` is below 1.
    """
    if spread < 1:
        raise PolicyError(f"{policy}: spread must be at least 1 pull, got {spread}")


def fill(
    counts: Sequence[float],
    needed: Callable[[int, float], tuple[float, float]],
    spread: float,
    low: float,
    high: float,
) -> list[float]:
    """Return how many of the next ``spread`` pulls each arm gets.

    Parameters
    ----------
    counts : sequence of float
        K labels so far.
    needed : callable
        From the number of an arm and a level to the count at which its index has come down to that
        level, falling in the level, and the slope of that count.
    spread : float
        Pulls to divide, positive.
    low : float
        A level at which at least ``spread`` pulls would be needed.
    high : float
        A level at which at most ``spread`` pulls would be needed.

    Returns
    -------
    list of float
        K shares of ``spread``, not negative; their sum is within rounding of it.
    """
    active: Sequence[int] = range(len(counts))
    level = low
    for _ in range(_MOST_STEPS):
        pulled, total, have, slope = _above(active, counts, needed, level)
        excess = total - have - spread
        if abs(excess) <= _TOLERANCE * spread:
            break
        if excess > 0:
            low, active = level, pulled  # an arm above the water stays there as the level rises
        else:
            high = level
        # Newton on total ** -0.5, which is linear in the level for one arm of the usual kind.
        step = 2 * total * (1 - math.sqrt(total / (have + spread))) / slope if slope < 0 else 0.0
        following = level + step
        if not low < following < high:
            following = (low + high) / 2
        if following in (low, high):
            break
        level = following
    pulls = [0.0] * len(counts)
    for arm in active:
        pulls[arm] = max(0.0, needed(arm, level)[0] - counts[arm])
    return pulls


def _above(
    active: Sequence[int],
    counts: Sequence[float],
    needed: Callable[[int, float], tuple[float, float]],
    level: float,
) -> tuple[list[int], float, float, float]:
    """Arms whose index is above the level; their needed and present counts, and the slope.

    The sums are exact before they are rounded, so that the order of the arms changes no bit.
    """
    pulled, totals, haves, slopes = [], [], [], []
    for arm in active:
        count, change = needed(arm, level)
        have = counts[arm]
        if count > have:
            pulled.append(arm)
            totals.append(count)
            haves.append(have)
            slopes.append(change)
    return pulled, math.fsum(totals), math.fsum(haves), math.fsum(slopes)


def fill_square_root(
    means: Sequence[float], widths: Sequence[float], counts: Sequence[float], spread: float
) -> list[float]:
    """Fill for indices of the form ``mean + width / sqrt(count)``.

    Parameters
    ----------
    means : sequence of float
        K means, reward units.
    widths : sequence of float
        K widths at a count of 1, reward units, positive.
    counts : sequence of float
        K labels so far, not negative; an index at a count of 0 is infinite.
    spread : float
        Pulls to divide, positive.

    Returns
    -------
    list of float
        As ``fill`` does.

    Examples
    --------
    >>> [round(pulls, 1) for pulls in fill_square_root([0.5, 0.6], [3.0, 3.0], [100, 100], 50)]
    [0.0, 50.0]
    >>> [round(pulls, 1) for pulls in fill_square_root([0.5, 0.5], [3.0, 3.0], [10, 20], 50)]
    [30.0, 20.0]
    """
    top = max(means)
    gaps = [top - mean for mean in means]  # distances keep their precision at high counts
    squares = [width * width for width in widths]

    def needed(arm: int, level: float) -> tuple[float, float]:
        distance = level + gaps[arm]
        count = squares[arm] / (distance * distance)
        return count, -2.0 * count / distance

    low = max(
        width / math.sqrt(count + spread) - gap
        for width, count, gap in zip(widths, counts, gaps, strict=True)
    )
    return fill(counts, needed, spread, low, max(widths) * math.sqrt(len(means) / spread) + low)
