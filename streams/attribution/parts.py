"""Labels that come in parts (a click, then what was bought): one label from all parts in force."""

import math
from collections.abc import Mapping

from leverframe.policies.reward_base import as_number
from leverframe.schemas.errors import RecordError
from leverframe.schemas.fields import LabelValue
from leverframe.streams.routes.settings import Combine

__all__ = ["combined", "with_part"]


def with_part(
    parts: Mapping[str, LabelValue], name: str, label: LabelValue
) -> dict[str, LabelValue] | None:
    """Return the parts after one more has come.

    With the new one last; None where it changes nothing.
    """
    after = dict(parts)
    before = after.pop(name, None)
    if label == before and type(label) is type(before):
        return None
    if label is not None:
        after[name] = label
    return after


def combined(parts: Mapping[str, LabelValue], how: Combine) -> LabelValue:
    """Return the label that all parts together amount to.

    None without parts. Raises ``RecordError``: ``unrewardable`` for a part that is not a
    number, or a sum beyond all numbers.

    Examples
    --------
    >>> combined({"click": 1, "order": 24.5}, "sum")
    25.5
    """
    if not parts:
        return None
    values = list(parts.values())
    if how == "last":
        return values[-1]
    numbers = [as_number(value, "a part of the label") for value in values]
    if how == "max":
        return max(numbers)
    # Exact, so that the order in which the parts came leaves no trace.
    try:
        total = math.fsum(numbers)
    except OverflowError as error:
        raise RecordError("unrewardable", "the sum of the label's parts is no number") from error
    return total if how == "sum" else total / len(numbers)
