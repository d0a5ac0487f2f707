"""A stream whose drift and imbalance are set, not found."""

import math

import msgspec
import numpy as np

from leverframe.experiments.stream import Floats, Stream

__all__ = ["SyntheticOptions", "make_synthetic"]


class SyntheticOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the synthetic stream is like.

    Attributes
    ----------
    rows : int
        Length.
    features : int
        Standard normal, independent; all labels depend on the first two.
    positive_ratio : float
        Share of label 1, about the same before and after a drift.
    drift_at : float
        Part of the stream after which the rule is another one, abruptly.
    return_at : float
        Part after which the first rule holds again; 1 for never.
    angle : float
        Between both rules, radians: 0 is no drift, pi turns every label round.
    sharpness : float
        Slope of the logistic rule: how little noise the labels have.
    """

    rows: int = 30_000
    features: int = 8
    positive_ratio: float = 0.15
    drift_at: float = 0.5
    return_at: float = 0.75
    angle: float = math.pi / 2
    sharpness: float = 4.0


def make_synthetic(options: SyntheticOptions, seed: int) -> Stream:
    """Draw a stream: rule A, then abruptly rule B, then rule A again."""
    rng = np.random.default_rng([seed, 20_250_322])
    features = rng.standard_normal((options.rows, options.features))
    place = np.arange(options.rows) / options.rows
    turned = (place >= options.drift_at) & (place < options.return_at)
    angle = np.where(turned, options.angle, 0.0)
    direction = features[:, 0] * np.cos(angle) + features[:, 1] * np.sin(angle)
    chance = _sigmoid(options.sharpness * (direction - _offset(options)))
    return Stream(
        name="synthetic",
        features=features,
        categorical=np.zeros(options.features, dtype=bool),
        labels=(rng.random(options.rows) < chance).astype(np.int64),
        drift_row=round(options.drift_at * options.rows),
    )


def _sigmoid(values: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-values))
    return result


def _offset(options: SyntheticOptions) -> float:
    """By bisection: where the rule's threshold must lie for the wanted share of label 1."""
    grid = np.linspace(-6, 6, 2001)
    density = np.exp(-grid * grid / 2)
    density /= density.sum()
    low, high = -6.0, 6.0
    for _ in range(50):
        middle = (low + high) / 2
        share = float(density @ _sigmoid(options.sharpness * (grid - middle)))
        low, high = (middle, high) if share > options.positive_ratio else (low, middle)
    return (low + high) / 2
