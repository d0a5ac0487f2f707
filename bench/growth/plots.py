"""Two plots of growth, PNG: throughput and latency along each axis, small multiples."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.growth.results import Growth
from bench.growth.shapes import BASE

__all__ = ["draw"]

_OURS, _OTHER, _INK = "#1b6ca8", "#c8553d", "#37424c"
_NAMES = {
    "arms": "arms of a route",
    "routes": "routes",
    "partitions": "partitions",
    "waiting": "waiting predictions",
    "value": "bytes of a prediction",
    "workers": "workers, on 2 cores",
}


def draw(growth: Growth, folder: Path) -> list[Path]:
    """Draw throughput to the base, and latency to reward and control message."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "growth-throughput.png", folder / "growth-latency.png"]
    _grid(growth, _throughput, files[0], "events/s, times the base's in the same run")
    _grid(growth, _latency, files[1], "ms from label, at 1,000 events/s")
    return files


def _grid(
    growth: Growth, drawn: Callable[[Growth, str, Any], None], path: Path, label: str
) -> None:
    from matplotlib import pyplot as plt

    axes = [axis for axis in _NAMES if growth.sizes(axis)]
    rows = (len(axes) + 2) // 3
    figure, grid = plt.subplots(
        rows, 3, figsize=(9, 2.7 * rows), layout="constrained", sharey=True, squeeze=False
    )
    for cell in grid.flat[len(axes) :]:
        cell.set_visible(False)
    for axis, cell in zip(axes, grid.flat, strict=False):
        _scale(growth, axis, cell)
        drawn(growth, axis, cell)
        cell.set_xlabel(_NAMES[axis], fontsize=9)
        cell.spines[["top", "right"]].set_visible(False)
        cell.grid(axis="y", color="#e6e9ec", linewidth=0.8)
        cell.tick_params(length=0, labelsize=8)
        cell.axvline(_x(axis, getattr(BASE, axis)), color="#d4dade", linewidth=3, zorder=0)
    if grid.flat[0].get_yscale() == "linear":
        # The cells share it: set before all are drawn, it would cut off what comes later.
        grid.flat[0].set_ylim(bottom=0)
    grid.flat[0].legend(fontsize=8, frameon=False)
    figure.supylabel(label, fontsize=9)
    figure.savefig(path, dpi=150)


def _x(axis: str, at: int) -> float:
    """Nothing waiting lies left of the logarithmic scale's first mark."""
    return 1000 if axis == "waiting" and at == 0 else at


def _scale(growth: Growth, axis: str, cell: Any) -> None:
    sizes = growth.sizes(axis)
    cell.set_xscale("log")
    cell.set_xticks([_x(axis, at) for at in sizes], [_short(at) for at in sizes])
    cell.minorticks_off()
    failed = [at for at in sizes if not growth.points(axis, at)]
    for at in failed:
        cell.annotate("failed", (_x(axis, at), 0), fontsize=8, color=_OTHER, ha="right")


def _short(at: int) -> str:
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if at >= size:
            return f"{at / size:g}{letter}"
    return str(at)


def _line(cell: Any, axis: str, groups: dict[int, list[float]], color: str, name: str) -> None:
    """Medians as a line, runs as dots."""
    if not groups:
        return
    xs = [_x(axis, at) for at in groups]
    cell.plot(xs, [statistics.median(g) for g in groups.values()], color=color, label=name)
    for x, group in zip(xs, groups.values(), strict=True):
        cell.scatter([x] * len(group), group, s=8, color=color, zorder=3)


def _throughput(growth: Growth, axis: str, cell: Any) -> None:
    found = {at: growth.ratios(axis, at) for at in growth.sizes(axis)}
    _line(cell, axis, {at: one for at, one in found.items() if one}, _OURS, "median; dots are runs")
    cell.axhline(1, color=_INK, linewidth=0.8, linestyle=":")


def _latency(growth: Growth, axis: str, cell: Any) -> None:
    for kind, color, style in (("reward", _OURS, "reward"), ("control message", _OTHER, "control")):
        for which, name in ((0, f"{style} p50"), (1, f"{style} p99")):
            found = {
                at: [p.latency_ms[kind][which] for p in growth.points(axis, at) if p.seen.get(kind)]
                for at in growth.sizes(axis)
            }
            shade = color if which else color + "80"
            _line(cell, axis, {at: one for at, one in found.items() if one}, shade, name)
    cell.set_yscale("log")
