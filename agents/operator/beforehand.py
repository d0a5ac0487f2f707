"""What was known of an arm before its first label, in words. Pure."""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["prior_lines"]

_OUTWEIGHED: Final = 10


def prior_lines(arms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say with what policies began, for each arm whose labels do not outweigh it by far.

    Parameters
    ----------
    arms : mapping
        Name to ``ArmEvidence``, as a control message has it.

    Returns
    -------
    list of str
        A line each, of arms with a prior and less than ten times as many labels.

    Examples
    --------
    >>> prior_lines({"b": {"labels": 12, "prior": [91.0, 9.0]}, "a": {"labels": 500}})
    ['b began with a prior of 100 labels, mean 0.910: no evidence, policies count it']
    """
    return [
        f"{arm} began with a prior of {sum(known['prior']):,.0f} labels, mean "
        f"{known['prior'][0] / sum(known['prior']):.3f}: no evidence, policies count it"
        for arm, known in arms.items()
        if known.get("prior") and known["labels"] < _OUTWEIGHED * sum(known["prior"])
    ]
