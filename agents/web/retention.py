"""How much is kept of each route: of some hundred a whole day, of very many less. Pure."""

from typing import Final, NamedTuple

from leverframe.streams.topology import DAY_MS

__all__ = ["IN_FULL", "Retention", "retention_for"]

IN_FULL: Final = 500
"""So many routes are kept in full: some 0.8 MB each with 10 arms, when they are busy."""


class Retention(NamedTuple):
    """What is kept of one route.

    Attributes
    ----------
    fine_ms, coarse_ms : int
        A point for each so many ms within the last hour, and before it.
    fine_points, coarse_points : int
        Most of them.
    marks : int
        Most marks on the time line.
    whole : int
        Most changes that are kept as they were published.
    """

    fine_ms: int = 10_000
    coarse_ms: int = 300_000
    fine_points: int = 1_000
    coarse_points: int = 2 * DAY_MS // 300_000
    marks: int = 300
    whole: int = 30

    @property
    def is_scarce(self) -> bool:
        """Whether steps of a policy may stand for one another too, as heartbeats do."""
        return self != _FULL


_FULL: Final = Retention()


def retention_for(routes: int) -> Retention:
    """Return the retention of each route."""
    full = _FULL
    if routes <= IN_FULL:
        return full
    share = IN_FULL / routes
    coarse_ms = min(1_800_000, round(full.coarse_ms / share))
    return Retention(
        fine_ms=min(120_000, round(full.fine_ms / share)),
        coarse_ms=coarse_ms,
        fine_points=max(60, round(full.fine_points * share)),
        coarse_points=2 * DAY_MS // coarse_ms,
        marks=max(30, round(full.marks * share)),
        whole=max(3, round(full.whole * share)),
    )
