"""The weights that a policy would have published, in order; pure."""

from bisect import bisect_left

from msgspec import Struct

__all__ = ["Schedule"]


class Schedule(Struct, frozen=True, kw_only=True):
    """The weights that a policy would have published, in order.

    Attributes
    ----------
    times_ms : list of int
        Stream time of each publication, never falling, ms since the epoch.
    weights : list of dict of str to float
        By arm; together 1.
    """

    times_ms: list[int]
    weights: list[dict[str, float]]

    def before(self, time_ms: int) -> int:
        """Return the index of the weights in force just before a moment; -1 before the first."""
        return bisect_left(self.times_ms, time_ms) - 1
