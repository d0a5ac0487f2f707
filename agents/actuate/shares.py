"""Weights as whole numbers that sum right; pure."""

from collections.abc import Mapping
from fractions import Fraction

__all__ = ["apportion"]


def apportion(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """Share a whole number out by weights, by largest remainders.

    Parameters
    ----------
    weights : mapping of str to float
        At least 0, in any unit.
    total : int
        To be shared out.

    Returns
    -------
    dict of str to int
        In order of name. Each is less than 1 away from its exact share, they sum to ``total``, and
        no weight gets nothing. Empty where no weight is above 0.

    Examples
    --------
    >>> apportion({"v1": 0.334, "v2": 0.333, "v3": 0.333}, 100)
    {'v1': 34, 'v2': 33, 'v3': 33}
    >>> apportion({"v1": 0.0, "v2": 3.0}, 100), apportion({"v1": 0.0}, 100)
    ({'v1': 0, 'v2': 100}, {})
    """
    exact = {name: Fraction(weights[name]) for name in sorted(weights)}
    whole = sum(exact.values())
    if whole <= 0:
        return {}
    exact = {name: share * total / whole for name, share in exact.items()}
    given = {name: int(share) for name, share in exact.items()}
    order = sorted(exact, key=lambda name: (given[name] - exact[name], name))
    for name in order[: total - sum(given.values())]:
        given[name] += 1
    return given
