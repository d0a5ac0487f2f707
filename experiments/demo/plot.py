"""The demo's picture: who answered, how well, and when the levers moved."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from leverframe.agents.web.palette import colour
from leverframe.experiments.demo.models import ARMS
from leverframe.experiments.demo.observer import Observer
from leverframe.experiments.demo.summary import Milestones
from leverframe.schemas.control import ControlMessage

__all__ = ["draw", "probations"]

# The dashboard's: arms are registered in this order.
COLOURS: Final = {arm: colour(place) for place, arm in enumerate(ARMS)}
_BIN_S: Final = 0.5
_GAP_S: Final = 2.0
_LEAST_LABELS: Final = 5


def draw(
    path: Path, observer: Observer, milestones: Milestones, said: tuple[str, str, str, str]
) -> None:
    """Write a PNG: traffic share by arm above, mean reward below; ``said`` of the four moments."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (share, quality) = plt.subplots(
        2, 1, figsize=(9, 5.2), sharex=True, height_ratios=[3, 2], layout="constrained"
    )
    _shares(share, observer)
    _rewards(quality, observer)
    for begin, end, arm in probations(observer.messages, observer.now_s):
        for axes in (share, quality):
            axes.axvspan(begin, end, facecolor="none", edgecolor="black", hatch="///", alpha=0.35)
        share.annotate(
            f"{arm} on probation", ((begin + end) / 2, 0.03), xycoords=("data", "axes fraction"),
            fontsize=8, ha="center", annotation_clip=False,
        )  # fmt: skip
    moments = (
        milestones.registered_s, milestones.shifted_s, milestones.broken_s, milestones.rolled_back_s
    )  # fmt: skip
    for number, (at, text) in enumerate(zip(moments, said, strict=True)):
        if at is None:
            continue
        for axes in (share, quality):
            axes.axvline(at, color="black", linewidth=1, linestyle=":" if number % 2 == 0 else "-")
        share.annotate(
            text, (at, 1.02 + 0.09 * (number % 2)), xycoords=("data", "axes fraction"),
            fontsize=9, ha="center", annotation_clip=False,
        )  # fmt: skip
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def probations(
    messages: Sequence[tuple[float, ControlMessage]], now_s: float
) -> list[tuple[float, float, str]]:
    """Return begin, end and arm of each probation; a rollback of the arm ends it, too."""
    found: list[tuple[float, float, str]] = []
    begun: tuple[float, str] | None = None
    for at_s, message in messages:
        cause = message.cause
        if cause.get("why") == "probation" and cause.get("step") == "begun":
            begun = at_s, cause["arm"]
        elif begun is not None and (
            cause.get("why") == "probation" or begun[1] in message.quarantined
        ):
            found.append((begun[0], at_s, begun[1]))
            begun = None
    return found if begun is None else [*found, (begun[0], now_s, begun[1])]


def _shares(axes: Any, observer: Observer) -> None:
    times = [at for at, _ in observer.messages] + [observer.now_s]
    for_arm = []
    for arm in ARMS:
        shares = [message.weights.get(arm, 0.0) for _, message in observer.messages]
        for_arm.append([*shares, shares[-1] if shares else 0.0])
    axes.stackplot(
        times, for_arm, labels=ARMS, colors=[COLOURS[arm] for arm in ARMS], step="post", alpha=0.9
    )
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of traffic")
    axes.legend(loc="center left", fontsize=9, framealpha=0.9)


def _rewards(axes: Any, observer: Observer) -> None:
    """Of answers that were given; dashed of those in shadow."""
    has_shadow = False
    for arm in ARMS:
        for is_served, form in ((True, ".-"), (False, ".--")):
            seen = [
                (at, r.reward)
                for at, r in observer.rewards
                if r.arm == arm and r.served == is_served and r.reward is not None
            ]
            if seen:
                has_shadow |= not is_served
                at, means = _means_of(seen)
                axes.plot(at, means, form, color=COLOURS[arm], linewidth=1)
    axes.set_ylim(0, 1.03)
    axes.set_ylabel("mean reward" + ("\ndashed: in shadow" if has_shadow else ""))
    axes.set_xlabel("seconds")


def _means_of(seen: Sequence[tuple[float, float]]) -> tuple[Any, Any]:
    """The mean of each half second, with a gap where nothing came for two seconds."""
    at, value = np.array(seen).T
    bins = (at / _BIN_S).astype(int)
    used, counts = np.unique(bins, return_counts=True)
    used = used[counts >= _LEAST_LABELS]
    means = np.array([value[bins == b].mean() for b in used])
    gaps = np.flatnonzero(np.diff(used) * _BIN_S > _GAP_S) + 1
    return (np.insert(used.astype(float), gaps, np.nan) + 0.5) * _BIN_S, np.insert(
        means, gaps, np.nan
    )
