"""What is wrong with a route's settings beyond single fields: all of it, each by its key."""

from collections.abc import Iterator, Mapping
from typing import Final

from leverframe.policies.factory import faults_of
from leverframe.policies.reward_base import RewardFunction
from leverframe.policies.rewards import FAMILY as REWARDS
from leverframe.policies.rewards import make_reward
from leverframe.streams.routes.metrics import metric_faults
from leverframe.streams.routes.settings import DetectorSettings, NamedParams, RouteSettings

__all__ = ["Fault", "detector_faults", "field_faults", "route_faults", "told"]

Fault = tuple[tuple[str, ...], str]
"""Keys that it takes to be wrong, the one to mend first, and what is wrong."""

_DEFAULTS: Final = RouteSettings()


def route_faults(settings: RouteSettings) -> Iterator[Fault]:
    """Find everything that keeps a route from being compiled."""
    yield from field_faults(settings)
    for at, detector in enumerate(settings.detectors):
        for keys, text in detector_faults(detector):
            yield (f"detectors[{at}].{keys[0]}", "detectors"), text


def field_faults(settings: RouteSettings) -> Iterator[Fault]:
    """Find what is wrong with reward, policies, ages and metrics."""
    rewards = faults_of(REWARDS, settings.reward.name, settings.reward.params)
    yield from ((("reward",), text) for text in rewards)
    if not rewards:
        yield from _default_faults(settings)
    yield from _age_faults(settings)
    yield from _policy_faults(settings)
    yield from metric_faults(settings.metrics)
    yield from _price_faults(settings)


def detector_faults(detector: DetectorSettings) -> Iterator[Fault]:
    """Find what is wrong with a detector."""
    from leverframe.policies.detectors import FAMILY

    key = "params" if detector.name in FAMILY.kinds else "name"
    for text in faults_of(FAMILY, detector.name, detector.params):
        yield (key,), text


def told(faults: Mapping[str, list[Fault]]) -> str:
    """Say what is wrong with some routes."""
    lines = [
        f"routes.{route}.{keys[0]}: {text}"
        for route, found in faults.items()
        for keys, text in found
    ]
    count = "a fault" if len(lines) == 1 else f"{len(lines)} faults"
    return f"the settings have {count}:\n  " + "\n  ".join(lines)


def _default_faults(settings: RouteSettings) -> Iterator[Fault]:
    default = settings.default_reward
    if default is None:
        return
    function: RewardFunction = make_reward(settings.reward.name, settings.reward.params)
    low, high = function.range
    if not low <= default <= high:
        limits = f"{low:g} to {high:g}"
        text = f"must lie in the range of {settings.reward.name}, {limits}; got {default:g}"
        yield ("default_reward", "reward"), text


def _price_faults(settings: RouteSettings) -> Iterator[Fault]:
    """Metrics in the reward, where requests are compared whose metrics are not known."""
    if not any(one.role == "reward" for one in settings.metrics.values()):
        return
    if not settings.label_depends_on_answer:
        text = "must be true where a metric is part of the reward: answers in shadow have no price"
        yield ("label_depends_on_answer", "metrics"), text
    if settings.delay_correction:
        yield ("delay_correction", "metrics"), "does not go with a metric in the reward"


def _age_faults(settings: RouteSettings) -> Iterator[Fault]:
    for key in ("default_after_s", "matures_after_s"):
        after_s = getattr(settings, key)
        if after_s is not None and after_s > settings.window_s:
            limit = f"must be at most window_s ({settings.window_s:g})"
            yield (key, "window_s"), f"{limit}, when the request is forgotten; got {after_s:g}"
    if settings.matures_after_s is not None and (
        settings.default_reward is not None or not settings.delay_correction
    ):
        text = "goes with delay_correction on a route without default_reward; with a default, "
        text += "default_after_s says when a request matures"
        yield ("matures_after_s", "default_reward", "delay_correction"), text


def _policy_faults(settings: RouteSettings) -> Iterator[Fault]:
    named: list[tuple[str, NamedParams]] = [("policy", settings.policy)]
    named += [(f"shadow[{at}]", shadow) for at, shadow in enumerate(settings.shadow)]
    for key, one in named:
        for text in _refusals(one):
            yield (key, key.partition("[")[0]), text
    names = [shadow.name for shadow in settings.shadow]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield ("shadow",), f"names {name!r} more than once; shadows are told apart by name"


def _refusals(policy: NamedParams) -> list[str]:
    if policy == _DEFAULTS.policy:
        return []  # and nothing heavy is imported for a command that only looks
    from leverframe.policies.registry import FAMILY

    return faults_of(FAMILY, policy.name, policy.params)
