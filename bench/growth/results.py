"""What ``python -m bench.growth`` measured, and its JSON file. Pure but for reading that."""

import statistics
from pathlib import Path

import msgspec

from bench.growth.measure import Load, Point
from bench.growth.shapes import BASE

__all__ = ["Growth", "Measured", "read_growth"]


class Measured(msgspec.Struct, kw_only=True):
    """One deployment in one run.

    Attributes
    ----------
    axis : str
        Along which it lies.
    at : int
        Its size there.
    run : int
        From 0.
    point : Point, optional
        What it gave; None when it failed.
    error : str
        Why it failed.
    """

    axis: str
    at: int
    run: int
    point: Point | None = None
    error: str = ""


class Growth(msgspec.Struct, kw_only=True):
    """All that was measured.

    Attributes
    ----------
    cores : int
        Of the machine, which broker, workers and load share.
    load : Load
        What each deployment was given.
    learning_us : list of float
        Processor time of a worker that has one route's rewards to learn from and nothing else,
        microseconds a label, by run.
    measured : list of Measured
        In order.
    """

    cores: int
    load: Load
    learning_us: list[float] = []
    measured: list[Measured] = []

    def points(self, axis: str, at: int) -> list[Point]:
        """Return what one deployment gave, by run."""
        return [m.point for m in self.measured if (m.axis, m.at) == (axis, at) and m.point]

    def ratios(self, axis: str, at: int) -> list[float]:
        """Return the throughput of a deployment to the base's of the same run."""
        of_axis = [m for m in self.measured if m.axis == axis and m.point]
        base_at = getattr(BASE, axis)
        bases = {m.run: m.point.events_per_s for m in of_axis if m.at == base_at and m.point}
        return [
            m.point.events_per_s / bases[m.run]
            for m in of_axis
            if m.at == at and m.point and m.run in bases
        ]

    def median(self, axis: str, at: int, field: str) -> float:
        """Return a median over the runs."""
        return float(statistics.median(getattr(p, field) for p in self.points(axis, at)))

    def sizes(self, axis: str) -> list[int]:
        """Return the sizes that were tried along an axis."""
        return sorted({m.at for m in self.measured if m.axis == axis})


def read_growth(path: Path) -> Growth:
    """Read what an earlier call wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Growth)
