"""What is measured of each request beside its label: settings of a metric, compiled."""

import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from leverframe.policies.units import NANO

__all__ = ["MOST_METRICS", "Metric", "MetricFault", "MetricSettings", "compiled", "metric_faults"]

MOST_METRICS: Final = 16
"""As many as a prediction may have."""
_BETS: Final = 1  # another number whenever what is bet changes: old capital then begins anew
MetricRole: TypeAlias = Literal["guardrail", "signal", "budget", "reward"]
MetricFault: TypeAlias = tuple[tuple[str, ...], str]
"""Keys concerned, the one to mend first, and what is wrong."""


class MetricSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a metric of predictions is for, and how much worse an arm may be.

    Attributes
    ----------
    role : {"guardrail", "signal", "budget", "reward"}
        A guardrail rolls an arm back that is worse, a signal only holds its ramp and its promotion;
        a budget bounds the weights, so that the mean over all arms stays within ``at_most``; with
        ``reward`` it is part of each request's reward.
    worse : {"higher", "lower"}
        Which values are the bad ones.
    range : list of float
        Least and largest value that counts, in the metric's own unit; what lies beyond counts as
        its end.
    margin : float
        How much worse than the reference is tolerable, in the metric's unit.
    quantile : float, optional
        Look at this quantile (0.99: 99 of 100 requests are better), not at the mean: an arm may not
        have more requests that are worse than that of its reference. Above 0 and below 1.
    at_most : float, optional
        Hold the arm to this bound, whatever its reference does; where higher is worse.
    at_least : float, optional
        Likewise, where lower is worse.
    weight : float, optional
        With the role ``reward``: what one unit of the metric adds to the reward, in the reward
        function's unit; below 0 it takes away.
    """

    role: MetricRole
    range: tuple[float, float]
    worse: Literal["higher", "lower"] = "higher"
    margin: Annotated[float, Meta(ge=0)] = 0.0
    quantile: Annotated[float, Meta(gt=0, lt=1)] | None = None
    at_most: float | None = None
    at_least: float | None = None
    weight: float | None = None

    @property
    def bound(self) -> float | None:
        """The value that an arm may reach whatever its reference does; None without one."""
        return self.at_most if self.worse == "higher" else self.at_least


class Metric(Struct, frozen=True, kw_only=True):
    """A metric, compiled: every value is mapped to [0, 1], where 1 is the worst.

    Attributes
    ----------
    name : str
        As predictions call it.
    settings : MetricSettings
        As written.
    margin_nano : int
        What is tolerable, of that scale, in 1e-9.
    bound_nano : int or None
        The worst tolerable value, margin included, likewise; None where the reference is it.
    level : float or None
        The largest tolerable mean of what is tested against the bound: of values, or of the share
        of requests beyond it.
    version : int
        Of the settings: sums that were made by others say nothing.
    """

    name: str
    settings: MetricSettings
    version: int
    margin_nano: int
    bound_nano: int | None
    level: float | None

    @property
    def is_guardrail(self) -> bool:
        """Whether it rolls back."""
        return self.settings.role == "guardrail"

    @property
    def is_budget(self) -> bool:
        """Whether it bounds the weights."""
        return self.settings.role == "budget"

    @property
    def is_judged(self) -> bool:
        """Whether arms are held to it, by bets: guardrails and signals."""
        return self.settings.role in {"guardrail", "signal"}

    @property
    def price_range(self) -> tuple[float, float]:
        """The least and the most that it adds to a reward; 0 where it is no part of it."""
        low, high = (one * (self.settings.weight or 0.0) for one in self.settings.range)
        return min(low, high), max(low, high)

    def price(self, value: float | None) -> float:
        """Return what a value adds to the reward; a missing one as little as any can.

        >>> cost = MetricSettings(role="reward", range=(0, 10), weight=-0.3)
        >>> [round(compiled({"cost": cost})[0].price(one), 3) for one in (2.0, 50.0, None)]
        [-0.6, -3.0, -3.0]
        """
        least, most = self.price_range
        if value is None:
            return least
        return min(most, max(least, value * (self.settings.weight or 0.0)))

    def badness_nano(self, value: float) -> int:
        """Map a value to the scale, in 1e-9.

        >>> settings = MetricSettings(role="signal", range=(0, 2000))
        >>> compiled({"latency_ms": settings})[0].badness_nano(500.0)
        250000000
        """
        low, high = self.settings.range
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return round((share if self.settings.worse == "higher" else 1.0 - share) * NANO)

    def value_of(self, badness: float) -> float:
        """Map back from the scale to the metric's unit."""
        low, high = self.settings.range
        share = badness if self.settings.worse == "higher" else 1.0 - badness
        return low + share * (high - low)


def compiled(metrics: Mapping[str, MetricSettings]) -> tuple[Metric, ...]:
    """Compile the metrics of a route, which have no faults."""
    return tuple(_compiled(name, settings) for name, settings in metrics.items())


def _compiled(name: str, settings: MetricSettings) -> Metric:
    low, high = settings.range
    bare = Metric(
        name=name,
        settings=settings,
        version=_version(settings),
        margin_nano=round(settings.margin / (high - low) * NANO),
        bound_nano=None,
        level=None,
    )
    if settings.bound is None:
        return bare
    bound_nano = bare.badness_nano(settings.bound) + bare.margin_nano
    if settings.role == "budget":
        return msgspec.structs.replace(bare, bound_nano=bound_nano)
    level = bound_nano / NANO if settings.quantile is None else 1.0 - settings.quantile
    return msgspec.structs.replace(bare, bound_nano=bound_nano, level=level)


def _version(settings: MetricSettings) -> int:
    """What sums and bets depend on; guardrail and signal are bet on alike."""
    role: MetricRole = "signal" if settings.role == "guardrail" else settings.role
    return zlib.crc32(msgspec.json.encode((_BETS, msgspec.structs.replace(settings, role=role))))


def metric_faults(metrics: Mapping[str, MetricSettings]) -> Iterator[MetricFault]:
    """Find what is wrong with the metrics of a route beyond single fields."""
    if len(metrics) > MOST_METRICS:
        yield ("metrics",), f"at most {MOST_METRICS} of a route, got {len(metrics)}"
    budgets = [name for name, settings in metrics.items() if settings.role == "budget"]
    if len(budgets) > 1:
        yield ("metrics",), f"one budget of a route, got {', '.join(budgets)}"
    for name, settings in metrics.items():
        if not 0 < len(name) <= 64:
            yield ("metrics",), f"a name has 1 to 64 characters, got {name!r}"
        for key, text in _faults(settings):
            yield (f"metrics.{name}.{key}", "metrics"), text


def _faults(settings: MetricSettings) -> Iterator[tuple[str, str]]:
    low, high = settings.range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        yield "range", f"must be two numbers, the first one less, got {low:g} and {high:g}"
        return
    if not settings.margin < high - low:
        yield "margin", f"must be less than the width of the range, {high - low:g}"
    key, other = ("at_most", "at_least") if settings.worse == "higher" else ("at_least", "at_most")
    if getattr(settings, other) is not None:
        yield other, f'where worse = "{settings.worse}" the bound is {key}'
    yield from _role_faults(settings, key)
    bound = settings.bound
    if bound is None:
        return
    tolerable = bound + (settings.margin if settings.worse == "higher" else -settings.margin)
    if not low < bound < high or not low < tolerable < high:
        yield key, f"must lie within the range {low:g} to {high:g}, its margin too"


def _role_faults(settings: MetricSettings, key: str) -> Iterator[tuple[str, str]]:
    """Keys that a role cannot have, or must have."""
    role = settings.role
    if (settings.weight is None) == (role == "reward"):
        yield "weight", 'goes with role = "reward", and is needed there'
    if role == "budget" and settings.bound is None:
        yield key, "missing: what a request may have on average, over all arms"
    if role == "reward" and settings.bound is not None:
        yield key, "is for guardrails, signals and budgets"
    if role in {"budget", "reward"}:
        if settings.quantile is not None:
            yield "quantile", f"a {role} is a mean"
        if settings.margin:
            yield "margin", "is for guardrails and signals"
