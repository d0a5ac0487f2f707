"""Rewards of the experiment: accuracy, classes balanced, and a price on each mistake."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from leverframe.experiments.models import class_weights
from leverframe.experiments.stream import Floats, Ints
from leverframe.policies.reward_base import to_unit
from leverframe.policies.rewards import make_reward
from leverframe.streams.routes.settings import NamedParams

__all__ = ["REWARDS_OF", "named_reward", "reward_matrix", "unit_matrix"]

REWARDS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "census": ("balanced", "accuracy"),
    "claims": ("cost", "accuracy"),
    "elec2": ("accuracy",),
    "synthetic": ("balanced",),
}
"""Rewards under which each data set is run."""

_MISSED_FRAUD: Final = 10.0


def named_reward(reward: str, known: Ints) -> NamedParams:
    """Return the product's reward function for a reward of the experiment.

    Examples
    --------
    >>> named_reward("balanced", np.array([0, 0, 0, 1])).params["costs"]["1"]
    {'0': 2.0}
    """
    if reward == "accuracy":
        return NamedParams(name="accuracy")
    alarm, missed = class_weights(known) if reward == "balanced" else (1.0, _MISSED_FRAUD)
    costs = {"0": {"1": alarm}, "1": {"0": missed}}
    return NamedParams(name="cost_matrix", params={"costs": costs})


def reward_matrix(named: NamedParams) -> Floats:
    """Return the reward by prediction and label, in the function's own unit."""
    function = make_reward(named.name, named.params)
    return np.array([[function.reward(p, label) for label in (0, 1)] for p in (0, 1)])


def unit_matrix(named: NamedParams) -> Floats:
    """Return the same mapped to [0, 1], as statistics count it."""
    low, high = make_reward(named.name, named.params).range
    matrix = reward_matrix(named)
    return np.array([[to_unit(float(value), low, high) for value in row] for row in matrix])
