"""Two plots of a comparison, PNG."""

import statistics
from pathlib import Path
from typing import Any

from bench.compare.ceilings import limit_of
from bench.compare.rounds import Comparison
from bench.compare.tables import SUBJECT, ratios

__all__ = ["draw"]

_OURS, _PEER, _LIMIT = "#1b6ca8", "#b8c4ce", "#c8553d"


def draw(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw rates, and how many times the others' rate ours is, with all rounds as dots."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "throughput.png", folder / "ratios.png"]
    _rates(comparison, files[0])
    _ratios(comparison, files[1])
    return files


def _canvas(rows: int) -> tuple[Any, Any]:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 0.9 + 0.42 * rows), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e6e9ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    return figure, axes


def _bars(axes: Any, groups: dict[str, list[float]], form: str, base: float = 0) -> None:
    """Horizontal bars of medians, dots of rounds, and the median written beside."""
    names = sorted(groups, key=lambda name: statistics.median(groups[name]))
    for at, name in enumerate(names):
        middle = statistics.median(groups[name])
        axes.barh(at, middle - base, 0.62, base, color=_OURS if name == SUBJECT else _PEER)
        axes.scatter(groups[name], [at] * len(groups[name]), s=9, color="#37424c", zorder=3)
        axes.annotate(
            form.format(middle),
            (max(groups[name]), at),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(names)), names)
    axes.margins(x=0.14)


def _rates(comparison: Comparison, path: Path) -> None:
    groups = {name: list(comparison.rates(name).values()) for name in comparison.runs}
    figure, axes = _canvas(len(groups) + 1)
    _bars(axes, groups, "{:,.0f}")
    if len(comparison.ceilings) == 4:
        medians = {n: statistics.median(r.values()) for n, r in comparison.ceilings.items()}
        limit = limit_of(medians)
        axes.axvline(limit, color=_LIMIT, linewidth=1.2)
        axes.annotate(
            f"limit {limit:,.0f}",
            (limit, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-4, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            color=_LIMIT,
            fontsize=9,
        )
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("input events a second, median; dots are runs")
    figure.savefig(path, dpi=150)


def _ratios(comparison: Comparison, path: Path) -> None:
    ours = comparison.rates(SUBJECT)
    groups = {
        name: found
        for name in comparison.runs
        if name != SUBJECT and (found := ratios(ours, comparison.rates(name)))
    }
    figure, axes = _canvas(len(groups) + 1)
    _bars(axes, groups, "{:.2f}x", base=1)
    axes.axvline(1, color="#37424c", linewidth=1)
    if groups and max(map(max, groups.values())) > 20:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}x")
    axes.set_xlabel("our rate / theirs, median; dots are rounds")
    figure.savefig(path, dpi=150)
