"""Names of policies, and how a policy is made from settings or from a ``set_policy`` command."""

import dataclasses
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Final

import msgspec

from leverframe.policies.ab_test import AbTest
from leverframe.policies.base import Policy
from leverframe.policies.bayes_ucb import BayesUcb
from leverframe.policies.discounted_thompson import DiscountedThompson
from leverframe.policies.epsilon_greedy import EpsilonGreedy
from leverframe.policies.exp3 import Exp3
from leverframe.policies.kl_ucb import KlUcb
from leverframe.policies.lin_thompson import LinThompson
from leverframe.policies.lin_ucb import LinUcb
from leverframe.policies.newest import Newest
from leverframe.policies.sliding_window_ucb import SlidingWindowUcb
from leverframe.policies.thompson import Thompson
from leverframe.policies.top_two_thompson import TopTwoThompson
from leverframe.policies.ucb import Ucb
from leverframe.policies.validation import Validation
from leverframe.schemas.errors import PolicyError

__all__ = ["ENTRY_POINTS", "POLICIES", "make_policy"]

ENTRY_POINTS: Final = "leverframe.policies"

POLICIES: Final[Mapping[str, type[Policy]]] = {
    "newest": Newest,
    "validation": Validation,
    "ab_test": AbTest,
    "epsilon_greedy": EpsilonGreedy,
    "ucb": Ucb,
    "thompson": Thompson,
    "kl_ucb": KlUcb,
    "bayes_ucb": BayesUcb,
    "sliding_window_ucb": SlidingWindowUcb,
    "discounted_thompson": DiscountedThompson,
    "exp3": Exp3,
    "top_two_thompson": TopTwoThompson,
    "lin_ucb": LinUcb,
    "lin_thompson": LinThompson,
}


def make_policy(name: str, params: Mapping[str, object]) -> Policy:
    """Build a policy.

    Parameters
    ----------
    name : str
        One of ``POLICIES``, or an entry point of the group ``leverframe.policies`` that leads to a
        dataclass; a built-in name cannot be taken over.
    params : mapping of str to object
        Parameters by name, as JSON or TOML has them; those left out keep their defaults.

    Returns
    -------
    Policy
        Ready to use, frozen.

    Raises
    ------
    PolicyError
        If the name is unknown, or a parameter is unknown, of the wrong type or out of its range;
        the message names it.

    Examples
    --------
    >>> make_policy("epsilon_greedy", {"epsilon": 0.2}).epsilon
    0.2
    >>> make_policy("epsilon_greedy", {"epsilon": 2.0})
    Traceback (most recent call last):
    leverframe.schemas.errors.PolicyError: epsilon_greedy: epsilon must lie in [0, 1], got 2.0
    """
    kind: Any = POLICIES.get(name) or _load(name)
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = sorted(str(key) for key in params if key not in known)
    if unknown:
        listed = ", ".join(known) or "none"
        raise PolicyError(f"{name}: unknown parameter {unknown[0]!r}; known: {listed}")
    try:
        policy: Policy = msgspec.convert(dict(params), kind, strict=True)
    except msgspec.ValidationError as error:
        raise PolicyError(f"{name}: {_parameter(error)}") from error
    return policy


def _parameter(error: msgspec.ValidationError) -> str:
    """Turn ``... - at `$.epsilon``` into ``epsilon: ...``, as our own range errors begin."""
    reason, _, path = str(error).partition(" - at `$.")
    return f"{path.rstrip('`')}: {reason}" if path else reason


def _load(name: str) -> object:
    found = [point for point in entry_points(group=ENTRY_POINTS) if point.name == name]
    if not found:
        raise PolicyError(f"unknown policy {name!r}; known: {', '.join(sorted(POLICIES))}")
    kind = found[0].load()
    if not dataclasses.is_dataclass(kind) or not hasattr(kind, "propensities"):
        raise PolicyError(f"{name}: entry point {found[0].value} is no dataclass with propensities")
    return kind
