"""Reward functions: from a prediction and its label to one number, higher is better."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from leverframe.policies.factory import Family, build
from leverframe.policies.reward_base import RewardFunction, as_number, class_name, probabilities
from leverframe.schemas.errors import PolicyError, RecordError
from leverframe.schemas.fields import LabelValue, PredictedValue

__all__ = ["FAMILY", "REWARDS", "make_reward"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """1 when the predicted class is the label, else 0; a mapping predicts its likeliest class.

    Classes are the same if ``class_name`` gives them the same text.
    """

    name: ClassVar[str] = "accuracy"
    compares_classes: ClassVar[bool] = True

    @property
    def range(self) -> tuple[float, float]:
        """0 to 1."""
        return (0.0, 1.0)

    def reward(self, prediction: PredictedValue, label: LabelValue) -> float:
        """Return 1.0 or 0.0."""
        if isinstance(prediction, dict):
            if not prediction:
                raise RecordError("unrewardable", "prediction is an empty mapping")
            prediction = max(prediction, key=prediction.__getitem__)
        if prediction == label:
            return 1.0
        # Nearly all mistakes: both are of one type, and not the same.
        if type(prediction) is type(label):
            return 0.0
        return 1.0 if class_name(prediction) == class_name(label) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Brier:
    """Minus the squared distance of the class probabilities from the label (Brier 1950)."""

    name: ClassVar[str] = "brier"

    @property
    def range(self) -> tuple[float, float]:
        """-2 to 0."""
        return (-2.0, 0.0)

    def reward(self, prediction: PredictedValue, label: LabelValue) -> float:
        """Return minus the Brier score, 0 at best."""
        values = probabilities(prediction)
        truth = class_name(label)
        missing = 0.0 if truth in values else 1.0
        return -missing - sum((p - (c == truth)) ** 2 for c, p in values.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLoss:
    """Log of the probability given to the label's class, clipped from below.

    Parameters
    ----------
    clip : float
        Smallest probability taken as such, in (0, 0.5).
    """

    name: ClassVar[str] = "log_loss"
    clip: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse a clip outside its range."""
        if not 0 < self.clip < 0.5:
            raise PolicyError(f"log_loss: clip must lie in (0, 0.5), got {self.clip}")

    @property
    def range(self) -> tuple[float, float]:
        """log(clip) to 0."""
        return (math.log(self.clip), 0.0)

    def reward(self, prediction: PredictedValue, label: LabelValue) -> float:
        """Return the log probability of the truth, 0 at best."""
        values = probabilities(prediction)
        return math.log(max(self.clip, values.get(class_name(label), 0.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsoluteError:
    """Minus the absolute error, no worse than ``-scale``.

    Parameters
    ----------
    scale : float
        Largest error told apart, in the label's unit, positive.
    """

    name: ClassVar[str] = "absolute_error"
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a scale that is not positive."""
        _require_positive(self.name, self.scale)

    @property
    def range(self) -> tuple[float, float]:
        """-scale to 0."""
        return (-self.scale, 0.0)

    def reward(self, prediction: PredictedValue, label: LabelValue) -> float:
        """Return minus the clipped absolute error."""
        error = abs(as_number(prediction, "prediction") - as_number(label, "label"))
        return -min(self.scale, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class SquaredError:
    """Minus the squared error, no worse than ``-scale``.

    Parameters
    ----------
    scale : float
        Largest squared error told apart, in the label's unit squared, positive.
    """

    name: ClassVar[str] = "squared_error"
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a scale that is not positive."""
        _require_positive(self.name, self.scale)

    @property
    def range(self) -> tuple[float, float]:
        """-scale to 0."""
        return (-self.scale, 0.0)

    def reward(self, prediction: PredictedValue, label: LabelValue) -> float:
        """Return minus the clipped squared error."""
        error = as_number(prediction, "prediction") - as_number(label, "label")
        return -min(self.scale, error * error)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostMatrix:
    """Minus the cost of this kind of mistake, for classes whose mistakes differ in price.

    Parameters
    ----------
    costs : mapping of str to mapping of str to float
        ``costs[label][prediction]``, in any one unit, not negative; pairs left out cost 0.
    """

    name: ClassVar[str] = "cost_matrix"
    compares_classes: ClassVar[bool] = True
    costs: dict[str, dict[str, float]]

    def __post_init__(self) -> None:
        """Refuse an empty matrix and negative costs."""
        values = [cost for row in self.costs.values() for cost in row.values()]
        if not values or min(values) < 0 or max(values) <= 0:
            raise PolicyError("cost_matrix: costs must not be negative, and one must be positive")
        named = {
            class_name(label): {class_name(predicted): cost for predicted, cost in row.items()}
            for label, row in self.costs.items()
        }
        object.__setattr__(self, "costs", named)  # frozen for everybody else

    @property
    def range(self) -> tuple[float, float]:
        """Minus the highest cost to 0."""
        return (-max(cost for row in self.costs.values() for cost in row.values()), 0.0)

    def reward(self, prediction: PredictedValue, label: LabelValue) -> float:
        """Return minus the cost; a mapping predicts its likeliest class."""
        if isinstance(prediction, dict):
            prediction = max(prediction, key=prediction.__getitem__, default="")
        return -self.costs.get(class_name(label), {}).get(class_name(prediction), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelIsReward:
    """The label itself: clicks, revenue, ratings.

    Parameters
    ----------
    low, high : float
        Range that is mapped to [0, 1], in the label's unit, ``low`` below ``high``; labels outside
        are clipped there.
    """

    name: ClassVar[str] = "label"
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        if not self.low < self.high:
            raise PolicyError(f"label: low must be below high, got {self.low} and {self.high}")

    @property
    def range(self) -> tuple[float, float]:
        """Low to high."""
        return (self.low, self.high)

    def reward(self, prediction: PredictedValue, label: LabelValue) -> float:
        """Return the label as a number."""
        del prediction
        return as_number(label, "label")


def _require_positive(name: str, scale: float) -> None:
    if not (math.isfinite(scale) and scale > 0):
        raise PolicyError(f"{name}: scale must be positive and finite, got {scale}")


REWARDS: Final[Mapping[str, type[RewardFunction]]] = {
    kind.name: kind
    for kind in (Accuracy, Brier, LogLoss, AbsoluteError, SquaredError, CostMatrix, LabelIsReward)
}

FAMILY: Final = Family(
    what="reward function",
    kinds=REWARDS,
    group="leverframe.rewards",
    method="reward",
    page="docs/reward-functions.md",
)


def make_reward(name: str, params: Mapping[str, object]) -> RewardFunction:
    """Build a reward function; the rules are those of ``policies.factory.build``.

    Parameters
    ----------
    name : str
        One of ``REWARDS``, or an entry point of the group ``leverframe.rewards``.
    params : mapping of str to object
        Parameters by name; those left out keep their defaults.

    Returns
    -------
    RewardFunction
        Ready to use, frozen.

    Examples
    --------
    >>> make_reward("cost_matrix", {"costs": {"1": {"0": 5.0}}}).reward(0, 1)
    -5.0
    """
    function: RewardFunction = build(FAMILY, name, params)
    return function
