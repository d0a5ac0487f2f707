"""The report's pictures, told apart with any kind of colour vision."""

from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from leverframe.experiments.metrics import BINS
from leverframe.experiments.stream import Floats
from leverframe.experiments.summary import Group, estimate, metric

__all__ = ["draw"]

# Okabe-Ito, each with its own line style, so that grey prints can be read too.
_LINES: Final = {
    "static_first": ("#999999", ":"),
    "newest": ("#000000", "--"),
    "validation": ("#56B4E9", "-."),
    "epsilon_greedy": ("#CC79A7", "-"),
    "ucb": ("#E69F00", "-"),
    "thompson": ("#0072B2", "-"),
    "discounted_thompson": ("#D55E00", "-"),
}
_ONLINE: Final = "#D55E00"
_COLUMNS: Final = 4
_PLACE: Final = (np.arange(BINS) + 0.5) / BINS


def draw(folder: Path, name: str, group: Group) -> list[str]:
    """Write the pictures of one data set and reward."""
    import matplotlib as mpl

    mpl.use("Agg")
    names = []
    for kind, make in (("reward", _rewards), ("traffic", _traffic), ("regret", _regret)):
        names.append(f"{name}-{kind}.png")
        _save(folder / names[-1], make(group))
    return names


def _save(path: Path, figure: Any) -> None:
    from matplotlib import pyplot as plt
    from PIL import Image

    # No software version and no date in the file: the same runs give the same bytes.
    drawn = BytesIO()
    figure.savefig(drawn, dpi=80, metadata={"Software": None})
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(96).save(path, optimize=True)


def _mean(group: Group, strategy: str, what: str) -> Floats:
    values: Floats = np.array([getattr(result.series, what) for result in group[strategy]])
    mean: Floats = values.mean(axis=0)
    return mean


def _panels(count: int, height: float) -> tuple[Any, list[Any]]:
    from matplotlib import pyplot as plt

    rows = -(-count // _COLUMNS)
    figure, grid = plt.subplots(
        rows, _COLUMNS, figsize=(11, height * rows), sharex=True, sharey=True,
        layout="constrained", squeeze=False,
    )  # fmt: skip
    axes = list(grid.flat)
    for empty in axes[count:]:
        empty.axis("off")
    return figure, axes[:count]


def _rewards(group: Group) -> Any:
    """One panel per strategy: its reward, between the first model and the oracle in grey."""
    names = [name for name in group if name not in {"static_first", "oracle"}]
    figure, axes = _panels(len(names), 1.7)
    for axis, name in zip(axes, names, strict=True):
        for grey, style in (("static_first", ":"), ("oracle", "-")):
            if grey in group:
                axis.plot(_PLACE, _mean(group, grey, "reward"), style, color="#999999", linewidth=1)
        axis.plot(_PLACE, _mean(group, name, "reward"), color="#0072B2", linewidth=1.2)
        axis.set_title(name, fontsize=9)
    figure.supxlabel("part of the stream", fontsize=9)
    figure.supylabel("mean reward (grey: oracle; dotted: first model)", fontsize=9)
    return figure


def _traffic(group: Group) -> Any:
    """One panel per strategy: who answered, older models darker, the online model orange."""
    import matplotlib as mpl

    names = [name for name in group if name != "static_first"]
    figure, axes = _panels(len(names), 1.6)
    arms = next(iter(group.values()))[0].arms
    colours = [
        _ONLINE if arm.startswith("online") else shade
        for arm, shade in zip(
            arms, mpl.colormaps["cividis"](np.linspace(0, 1, len(arms))), strict=True
        )
    ]
    for axis, name in zip(axes, names, strict=True):
        shares = _mean(group, name, "shares")
        axis.stackplot(_PLACE, shares, colors=colours, labels=arms, linewidth=0.3, edgecolor="w")
        axis.set_title(name, fontsize=9)
        axis.set_ylim(0, 1)
        axis.set_xlim(_PLACE[0], _PLACE[-1])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.supxlabel("part of the stream", fontsize=9)
    figure.supylabel("share of traffic", fontsize=9)
    return figure


def _regret(group: Group) -> Any:
    """Left: regret over time of some; right: final regret of all with 95 % intervals."""
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name, (colour, style) in _LINES.items():
        if name in group:
            left.plot(_PLACE, _mean(group, name, "regret"), style, color=colour, label=name)
    left.legend(fontsize=8)
    left.set_xlabel("part of the stream", fontsize=9)
    left.set_ylabel("regret against the oracle, rewards", fontsize=9)
    finals = {name: estimate(metric(group[name], "regret_oracle")) for name in group}
    ranked = sorted(finals, key=lambda name: -finals[name].mean)
    means = [finals[name].mean for name in ranked]
    halves = [finals[name].half if np.isfinite(finals[name].half) else 0.0 for name in ranked]
    right.errorbar(means, range(len(ranked)), xerr=halves, fmt="o", color="#0072B2", markersize=4)
    right.set_yticks(range(len(ranked)), ranked, fontsize=8)
    right.set_xlabel("regret in the end, 95 % interval", fontsize=9)
    right.grid(axis="x", color="#dddddd")
    return figure
