"""What a strategy earned, lost, and how long it needed."""

import itertools
from typing import Any, Final

import numpy as np
from msgspec import Struct

from leverframe.experiments.replay import Outcome
from leverframe.experiments.stream import Floats, Ints
from leverframe.experiments.table import BLOCK, Table

__all__ = ["AHEAD", "BINS", "Metrics", "Series", "control", "measure", "recovery_rows", "series"]

BINS: Final = 60
AHEAD: Final = 1000
"""Rows over which it is judged, in hindsight, which arms were good."""


class Metrics(Struct, frozen=True, kw_only=True):
    """The figures of one run.

    Attributes
    ----------
    accuracy : float
        Share of right answers.
    f1 : float
        Of class 1; 0 when it is never predicted rightly.
    balanced_accuracy : float
        Mean of both classes' recall.
    reward : float
        Mean, mapped to [0, 1].
    regret_fixed : float
        Reward that the best one arm would have earned more, in all; negative where it was beaten.
        An arm counts from its deployment, and the first model before that.
    regret_oracle : float
        The same against the best arm of each segment between two deployments.
    switches : int
        Times that another arm came to have the largest weight.
    recovery : int or None
        Rows from the known drift until arms that are good now had more than half of the traffic;
        None if never, or if no drift is known.
    """

    accuracy: float
    f1: float
    balanced_accuracy: float
    reward: float
    regret_fixed: float
    regret_oracle: float
    switches: int
    recovery: int | None


class Series(Struct, frozen=True, kw_only=True):
    """A run over time, in ``BINS`` equal parts.

    Attributes
    ----------
    reward : list of float
        Mean in each part.
    regret : list of float
        Against the oracle, cumulated to the end of each part.
    shares : list of list of float
        Traffic share in each part, by arm.
    """

    reward: list[float]
    regret: list[float]
    shares: list[list[float]]


def _segments(table: Table) -> list[tuple[int, int]]:
    """Served rows between two deployments, counted from the first served row."""
    bounds = [*(table.since - table.first).tolist(), table.served]
    return list(itertools.pairwise(bounds))


def _best_of_segments(table: Table, rewards: Floats) -> Ints:
    chosen = np.zeros(table.served, dtype=np.int64)
    for arms, (start, stop) in enumerate(_segments(table), 1):
        chosen[start:stop] = rewards[:arms, start:stop].sum(axis=1).argmax()
    return chosen


def _best_fixed(table: Table, rewards: Floats) -> Ints:
    rows = np.arange(table.served)
    options = [np.where(rows >= since - table.first, arm, 0) for arm, since in _numbered(table)]
    earned = [float(rewards[option, rows].sum()) for option in options]
    return options[int(np.argmax(earned))].astype(np.int64)


def _numbered(table: Table) -> list[tuple[int, int]]:
    return list(enumerate(table.since.tolist()))


def control(name: str, table: Table, rewards: Floats) -> Outcome:
    """Return what a control does; two of them know the future."""
    if name == "oracle":
        chosen = _best_of_segments(table, rewards)
    elif name == "best_fixed":
        chosen = _best_fixed(table, rewards)
    else:
        chosen = np.zeros(table.served, dtype=np.int64)
    return Outcome(chosen=chosen, weights=np.eye(len(table.arms))[chosen[::BLOCK]])


def measure(table: Table, outcome: Outcome, rewards: Floats) -> Metrics:
    """Return the figures of a run."""
    rows = np.arange(table.served)
    labels = table.labels[table.first :]
    predicted = table.predictions[outcome.chosen, rows + table.first]
    hits = np.array([[(predicted == p) & (labels == y) for y in (0, 1)] for p in (0, 1)])
    counts = hits.sum(axis=2).astype(float)
    recalls = counts.diagonal() / np.maximum(counts.sum(axis=0), 1)
    earned = float(rewards[outcome.chosen, rows].sum())
    leaders = outcome.weights.argmax(axis=1)
    return Metrics(
        accuracy=float((predicted == labels).mean()),
        f1=float(2 * counts[1, 1] / max(1.0, counts[1].sum() + counts[:, 1].sum())),
        balanced_accuracy=float(recalls.mean()),
        reward=earned / table.served,
        regret_fixed=float(rewards[_best_fixed(table, rewards), rows].sum()) - earned,
        regret_oracle=float(rewards[_best_of_segments(table, rewards), rows].sum()) - earned,
        switches=int((leaders[1:] != leaders[:-1]).sum()),
        recovery=recovery_rows(table, outcome.weights, rewards),
    )


def recovery_rows(table: Table, weights: Floats, rewards: Floats) -> int | None:
    """Return the rows from the known drift until good arms had, and kept, most of the traffic.

    To the first decision from which good arms had more than half of the traffic on average over
    ``AHEAD`` rows; None if never, or if no drift is known. Good is, at each decision, whoever earns
    over the next ``AHEAD`` rows within a quarter of the deployed arms' spread of the best of them.
    """
    if table.drift_row is None:
        return None
    drift = max(0, table.drift_row - table.first)
    sums = np.concatenate([np.zeros((len(rewards), 1)), rewards.cumsum(axis=1)], axis=1)
    rows = np.arange(-(-drift // BLOCK) * BLOCK, table.served - AHEAD + 1, BLOCK)
    ahead = (sums[:, rows + AHEAD] - sums[:, rows]) / AHEAD
    deployed = (table.since - table.first)[:, None] <= rows
    best = np.where(deployed, ahead, -np.inf).max(axis=0)
    worst = np.where(deployed, ahead, np.inf).min(axis=0)
    is_good = deployed & (ahead >= best - (best - worst) / 4)
    shares = (weights[rows // BLOCK].T * is_good).sum(axis=0)
    kept = np.convolve(shares, np.full(AHEAD // BLOCK, BLOCK / AHEAD), mode="valid")
    found = np.flatnonzero(kept > 0.5)
    return int(rows[found[0]]) - drift if found.size else None


def series(table: Table, outcome: Outcome, rewards: Floats) -> Series:
    """Return a run over time."""
    rows = np.arange(table.served)
    earned = rewards[outcome.chosen, rows]
    lost = rewards[_best_of_segments(table, rewards), rows] - earned
    parts = np.array_split(rows, BINS)
    chosen: Any = outcome.chosen
    return Series(
        reward=[round(float(earned[part].mean()), 5) for part in parts],
        regret=[round(float(lost[: part[-1] + 1].sum()), 3) for part in parts],
        shares=[
            [round(float((chosen[part] == arm).mean()), 4) for part in parts]
            for arm in range(len(table.arms))
        ],
    )
