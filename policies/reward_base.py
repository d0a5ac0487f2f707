"""What reward functions share: their shape, and how predictions and labels are read."""

from typing import ClassVar, Final, Protocol

from leverframe.schemas.errors import RecordError
from leverframe.schemas.fields import LabelValue, PredictedValue

__all__ = ["RewardFunction", "as_number", "class_name", "probabilities", "to_unit"]


class RewardFunction(Protocol):
    """From a prediction and its label to a reward in a stated range.

    Attributes
    ----------
    name : str
        The word used in settings. A function that compares classes also sets ``compares_classes``,
        so that types of classes that differ are noticed.
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


_TRUTHS: Final = {"true": "1", "True": "1", "false": "0", "False": "0"}


def class_name(value: LabelValue) -> str:
    """Return the text that stands for a class, so that 1, 1.0, true, "1" and "true" are one class.

    A server may write a class as text where another writes a number, and labels come from a third
    place; an arm must not lose for that.

    Parameters
    ----------
    value : bool, int, float or str
        A class as predicted or labelled.

    Returns
    -------
    str
        As JSON would write the number or the text; ``1`` and ``0`` for true and false, and for the
        texts true, True, false and False.

    Examples
    --------
    >>> [class_name(value) for value in (1, 1.0, True, "1", "true", "cat")]
    ['1', '1', '1', '1', '1', 'cat']
    """
    if isinstance(value, str):
        return _TRUTHS.get(value, value)
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value)


def as_number(value: object, what: str) -> float:
    """Return a number as float, or raise ``RecordError`` (``unrewardable``)."""
    if isinstance(value, (int, float)):
        return float(value)
    raise RecordError("unrewardable", f"{what} must be a number for this reward, got {value!r:.80}")


def probabilities(prediction: PredictedValue) -> dict[str, float]:
    """Class to probability; one number is the probability of class 1 (or true)."""
    if isinstance(prediction, dict):
        values = {class_name(name): share for name, share in prediction.items()}
    elif isinstance(prediction, str):
        raise RecordError("unrewardable", "prediction must be a probability or class->probability")
    else:
        values = {"1": float(prediction), "0": 1.0 - float(prediction)}
    if not all(0.0 <= p <= 1.0 for p in values.values()):
        raise RecordError("unrewardable", "a probability lies outside [0, 1]")
    return values
