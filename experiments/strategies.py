"""What is compared: twelve policies as they are, ours as shipped, and three controls."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

from leverframe.experiments.table import BLOCK
from leverframe.streams.routes.settings import GuardSettings, NamedParams, RouteSettings

__all__ = ["CONTROLS", "PAPER", "STRATEGIES", "Strategy", "route_settings"]

_NEVER_MS: Final = 2**52


class Strategy(Struct, frozen=True, kw_only=True):
    """A way to choose the arm for each row.

    Attributes
    ----------
    name : str
        In results.
    policy : str
        As registered in ``policies.registry``; empty for a control, which needs no labels.
    params : dict
        Of the policy, where they are not its defaults.
    is_shipped : bool
        With the route's own defaults (nursery, floor, largest step, guard, promotion) in place of
        the bare policy.
    is_promoted : bool
        An arm to which the policy gives all traffic is made champion by command, as a deployment
        pipeline does.
    shadow_share : float
        Share of the rows that every arm deployed by then answers too, in shadow.
    is_warm : bool
        Arms begin with their held-out score as a prior, as much as the route allows.
    """

    name: str
    policy: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    is_shipped: bool = False
    is_promoted: bool = False
    shadow_share: float = 0.0
    is_warm: bool = False


PAPER: Final = ("newest", "validation", "ab_test", "epsilon_greedy", "ucb", "thompson")
"""The six of arXiv 2503.22595."""
CONTROLS: Final = ("static_first", "best_fixed", "oracle")
"""The first model for ever; the best one arm, and the best arm of each segment, in hindsight."""

_ALL: Final = (
    Strategy(name="newest", policy="newest"),
    Strategy(name="validation", policy="validation", is_promoted=True),
    Strategy(name="ab_test", policy="ab_test", params={"labels_per_arm": 200}),
    Strategy(name="epsilon_greedy", policy="epsilon_greedy"),
    Strategy(name="ucb", policy="ucb"),
    Strategy(name="thompson", policy="thompson"),
    Strategy(name="thompson_warm", policy="thompson", is_warm=True),
    Strategy(name="thompson_gaussian", policy="thompson", params={"model": "gaussian"}),
    Strategy(name="kl_ucb", policy="kl_ucb"),
    Strategy(name="bayes_ucb", policy="bayes_ucb"),
    Strategy(name="sliding_window_ucb", policy="sliding_window_ucb"),
    Strategy(name="discounted_thompson", policy="discounted_thompson"),
    Strategy(name="discounted_warm", policy="discounted_thompson", is_warm=True),
    Strategy(name="exp3", policy="exp3"),
    Strategy(name="top_two_thompson", policy="top_two_thompson"),
    Strategy(name="thompson_shipped", policy="thompson", is_shipped=True),
    Strategy(name="discounted_shipped", policy="discounted_thompson", is_shipped=True),
    *(
        Strategy(name=f"{policy}_{round(100 * share)}", policy=policy, shadow_share=share)
        for policy in ("paired_leader", "hedge")
        for share in (1.0, 0.3, 0.1)
    ),
    *(Strategy(name=name) for name in CONTROLS),
)

STRATEGIES: Final[Mapping[str, Strategy]] = {strategy.name: strategy for strategy in _ALL}


def route_settings(strategy: Strategy, reward: NamedParams) -> RouteSettings:
    """Return the settings of a route that follows a strategy.

    One decision every ``BLOCK`` labels; buckets of 20 s for 20 minutes. Unless shipped: no nursery,
    floor, step limit, guard or promotion, so that the policy alone is measured.
    """
    policy = NamedParams(name=strategy.policy, params=dict(strategy.params))
    shared: dict[str, Any] = {
        "reward": reward,
        "policy": policy,
        "register_arms": "command",
        "decision_interval_ms": _NEVER_MS,
        "decision_labels": BLOCK,
        "bucket_ms": 20_000,
        "max_buckets": 60,
        "label_depends_on_answer": strategy.shadow_share == 0,
    }
    if strategy.is_shipped:
        return RouteSettings(**shared)
    return RouteSettings(
        **shared,
        nursery_labels=0,
        floor=0.0,
        max_step=1.0,
        min_publish_change=0.0,
        promote=False,
        guard=GuardSettings(enabled=False),
    )
