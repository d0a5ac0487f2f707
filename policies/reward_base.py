"""What reward functions share: their shape, and how predictions and labels are read."""

from typing import ClassVar, Protocol

from leverframe.schemas.errors import RecordError
from leverframe.schemas.fields import LabelValue, PredictedValue

__all__ = ["RewardFunction", "as_number", "class_name", "probabilities", "to_unit"]


class RewardFunction(Protocol):
    """From a prediction and its label to a reward in a stated range.

    Attributes
    ----------
    name : str
        The word used in settings.
    """

    name: ClassVar[str]

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest reward, in the function's own unit."""
        ...

    def reward(self, prediction: PredictedValue, label: LabelValue) -> float:
        """Return the reward; raise ``RecordError`` (``unrewardable``) where there is none."""
        ...


def to_unit(reward: float, low: float, high: float) -> float:
    """Map a reward to [0, 1], clipping what lies outside the range.

    Parameters
    ----------
    reward : float
        In the unit of the reward function; ``low < high``.
    low : float
        As for ``reward``.
    high : float
        As for ``reward``.

    Returns
    -------
    float
        0 at ``low`` or below, 1 at ``high`` or above.

    Examples
    --------
    >>> to_unit(-0.5, -2.0, 0.0)
    0.75
    """
    unit = (reward - low) / (high - low)
    if unit <= 0.0:
        return 0.0
    return unit if unit < 1.0 else 1.0  # noqa: FURB136 - called for every label: min takes longer


def class_name(value: LabelValue) -> str:
    """Return the text by which JSON would name a class: ``true``, ``3``, ``cat``.

    Parameters
    ----------
    value : bool, int, float or str
        A class as predicted or labelled.

    Returns
    -------
    str
        The same text for 3 and 3.0.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def as_number(value: object, what: str) -> float:
    """Return a number as float, or raise ``RecordError`` (``unrewardable``)."""
    if isinstance(value, (int, float)):
        return float(value)
    raise RecordError("unrewardable", f"{what} must be a number for this reward, got {value!r:.80}")


def probabilities(prediction: PredictedValue, label: LabelValue) -> dict[str, float]:
    """Class to probability; one number is the probability of class 1 (or true)."""
    if isinstance(prediction, dict):
        values = prediction
    elif isinstance(prediction, str):
        raise RecordError("unrewardable", "prediction must be a probability or class->probability")
    else:
        positive, negative = ("true", "false") if isinstance(label, bool) else ("1", "0")
        values = {positive: float(prediction), negative: 1.0 - float(prediction)}
    if not all(0.0 <= p <= 1.0 for p in values.values()):
        raise RecordError("unrewardable", "a probability lies outside [0, 1]")
    return values
