"""Names of policies, and how a policy is made from settings or from a ``set_policy`` command."""

from collections.abc import Mapping
from typing import Final

from leverframe.policies.ab_test import AbTest
from leverframe.policies.base import Policy
from leverframe.policies.bayes_ucb import BayesUcb
from leverframe.policies.discounted_thompson import DiscountedThompson
from leverframe.policies.epsilon_greedy import EpsilonGreedy
from leverframe.policies.exp3 import Exp3
from leverframe.policies.factory import Family, build
from leverframe.policies.hedge import Hedge
from leverframe.policies.kl_ucb import KlUcb
from leverframe.policies.lin_thompson import LinThompson
from leverframe.policies.lin_ucb import LinUcb
from leverframe.policies.newest import Newest
from leverframe.policies.paired_leader import PairedLeader
from leverframe.policies.sliding_window_ucb import SlidingWindowUcb
from leverframe.policies.static import Static
from leverframe.policies.thompson import Thompson
from leverframe.policies.top_two_thompson import TopTwoThompson
from leverframe.policies.ucb import Ucb
from leverframe.policies.validation import Validation

__all__ = ["FAMILY", "POLICIES", "make_policy"]

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
    "paired_leader": PairedLeader,
    "hedge": Hedge,
    "static": Static,
}

FAMILY: Final = Family(
    what="policy",
    kinds=POLICIES,
    group="leverframe.policies",
    method="propensities",
    page="docs/policies.md",
)


def make_policy(name: str, params: Mapping[str, object]) -> Policy:
    """Build a policy; the rules are those of ``policies.factory.build``.

    Parameters
    ----------
    name : str
        One of ``POLICIES``, or an entry point of the group ``leverframe.policies``.
    params : mapping of str to object
        Parameters by name; those left out keep their defaults.

    Returns
    -------
    Policy
        Ready to use, frozen.

    Examples
    --------
    >>> make_policy("epsilon_greedy", {"epsilon": 0.2}).epsilon
    0.2
    >>> make_policy("epsilon_greedy", {"epsilon": 2.0})
    Traceback (most recent call last):
    leverframe.schemas.errors.PolicyError: epsilon_greedy: epsilon must lie in [0, 1], got 2.0
    """
    policy: Policy = build(FAMILY, name, params)
    return policy
