"""How an arm does in shadow, in words: for command line, page and sentences. Pure."""

from collections.abc import Mapping
from typing import Any

__all__ = ["in_shadow", "shadow_lines"]


def in_shadow(known: Mapping[str, Any]) -> str:
    """Say what the requests tell that an arm and the champion both answered.

    Parameters
    ----------
    known : mapping
        ``ArmEvidence``, as a control message has it.

    Returns
    -------
    str
        Empty where the arm has no part in answers in shadow.

    Examples
    --------
    >>> told = {"labels": 1204, "mean": 0.9, "compared_with": "a", "pairs": 1204}
    >>> told |= {"difference": 0.012, "bounds": [0.004, 0.02]}
    >>> in_shadow({"phase": "shadow", "in_shadow": told})
    'in shadow: 1,204 pairs, better by 0.012 (0.004 to 0.020)'
    """
    told = known.get("in_shadow")
    if not told:
        return ""
    is_there = known.get("phase") == "shadow"
    if told.get("apart"):
        said = _mean(told) if told["labels"] else "no label yet"
        return f"in shadow: {said}; counts nowhere, as labels depend on the answer"
    if not told.get("pairs"):
        said = f"{_mean(told)}, no pairs" if told["labels"] else "no pairs yet"
        return f"in shadow: {said}" if is_there else ""
    lead = "in shadow" if is_there else f"beside {told['compared_with']}"
    difference, (low, high) = told["difference"], told["bounds"]
    word = "better" if difference >= 0 else "worse"
    if difference < 0:
        difference, low, high = -difference, -high, -low
    pairs = f"{told['pairs']:,} pair{'' if told['pairs'] == 1 else 's'}"
    return f"{lead}: {pairs}, {word} by {difference:.3f} ({low:.3f} to {high:.3f})"


def _mean(told: Mapping[str, Any]) -> str:
    return f"{told['labels']:,} labels, mean {told['mean']:.3f}"


def shadow_lines(arms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say it of each arm that has a part in answers in shadow, a line each."""
    return [f"{arm} {said}" for arm, known in arms.items() if (said := in_shadow(known))]
