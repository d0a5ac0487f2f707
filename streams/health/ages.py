"""How old the predictions of an arm are, and how many of them have no reward yet.

Counts by the time of the prediction, in bins that widen with age: a second when fresh, about an
eighth of the age later. That is enough to say what waits and how many reached a given age.
"""

from typing import Final, TypeAlias

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

__all__ = ["Ages", "bin_start"]

FINEST_MS: Final = 1000
_PER_AGE: Final = 8

Float64: TypeAlias = NDArray[np.float64]


def _width_ms(age_ms: int) -> int:
    """A power of two of seconds, at least one, about ``age / _PER_AGE``."""
    seconds = age_ms // (_PER_AGE * FINEST_MS)
    return FINEST_MS * int(1 << max(0, seconds.bit_length() - 1)) if seconds > 0 else FINEST_MS


def bin_start(at_ms: int, now_ms: int) -> int:
    """Return the bin of a time, as coarse as its age allows; bins nest as they age.

    Start of the bin, ms since the epoch.
    """
    return at_ms - at_ms % _width_ms(max(0, now_ms - at_ms))


class Ages(Struct, array_like=True):
    """Predictions of one arm by age.

    Attributes
    ----------
    older : int
        Predictions whose window has ended.
    bins : dict of int to list of int
        Start of a bin (ms) to predictions, and to those of them that wait no more.
    """

    older: int = 0
    bins: dict[int, list[int]] = field(default_factory=dict)

    def add(self, at_ms: int, predicted: int, settled: int) -> None:
        """Count predictions of one time."""
        found = self.bins.setdefault(at_ms, [0, 0])
        found[0] += predicted
        found[1] += settled

    def grow_older(self, now_ms: int, window_ms: int) -> None:
        """Widen the bins as time passes; those beyond the window become one number."""
        bins: dict[int, list[int]] = {}
        for at_ms, (predicted, settled) in self.bins.items():
            if now_ms - at_ms > window_ms + _width_ms(window_ms):
                self.older += predicted
                continue
            found = bins.setdefault(bin_start(at_ms, now_ms), [0, 0])
            found[0] += predicted
            found[1] += settled
        self.bins = bins

    def reached(self, ages_ms: Float64, now_ms: int) -> Float64:
        """Return how many predictions have reached each of some ages."""
        oldest = [now_ms - at_ms for at_ms in self.bins]
        widths = [_width_ms(max(0, age_ms)) for age_ms in oldest]
        predicted = np.array([float(count[0]) for count in self.bins.values()])
        shares = (np.array(oldest, dtype=np.float64) - ages_ms[:, None]) / np.array(widths)
        totals: Float64 = self.older + np.clip(shares, 0.0, 1.0) @ predicted
        return totals

    def waiting(self) -> tuple[int, int | None]:
        """Return how many predictions wait for a reward, and about when the oldest was made."""
        left = {at: count[0] - count[1] for at, count in self.bins.items() if count[0] > count[1]}
        return sum(left.values()), min(left, default=None)
