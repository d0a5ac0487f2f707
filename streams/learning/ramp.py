"""A ramp: an arm's share grows step by step, each step behind a gate. What is planned and kept."""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from leverframe.schemas.errors import RecordError
from leverframe.streams.routes.delivery import RampSettings
from leverframe.streams.routes.periods import period_ms

__all__ = ["Gate", "Ramp", "RampPlan", "plan_of_params", "plan_of_settings"]

Gate: TypeAlias = Literal["healthy", "not_harmful"]
AtLimit: TypeAlias = Literal["hold", "abort", "go_on"]
_WORDS: Final = ("steps", "dwell", "min_labels", "gate", "limit", "at_limit")


class RampPlan(Struct, array_like=True, frozen=True):
    """What was asked for.

    Attributes
    ----------
    shares : tuple of float
        Of the traffic, rising; the last one is 1, where the arm becomes the champion.
    dwell_ms : int
        How long a step lasts at least, stream time.
    min_labels : int
        Labels of the arm that a step takes at least.
    gate : {"healthy", "not_harmful"}
        The guard's verdict that lets it go on.
    limit_ms : int or None
        How long a step may wait beyond its dwell; None: for ever.
    at_limit : {"hold", "abort", "go_on"}
        What happens then: it waits for a person, ends, or goes on unless it is harmful.
    """

    shares: tuple[float, ...]
    dwell_ms: int
    min_labels: int
    gate: Gate
    limit_ms: int | None
    at_limit: AtLimit


class Ramp(Struct, array_like=True, frozen=True):
    """A ramp under way.

    Attributes
    ----------
    arm : str
        Whose share grows.
    plan : RampPlan
        As asked for.
    at : int
        Index of the step in force.
    since_ms : int
        Stream time at which that step began.
    labels : int
        Labels of the arm by then, as they first came.
    waits_for : str
        Why it does not go on though its dwell is over; empty while it is on time.
    is_paused : bool
        Whether a person paused it.
    """

    arm: str
    plan: RampPlan
    at: int
    since_ms: int
    labels: int
    waits_for: str = ""
    is_paused: bool = False

    @property
    def share(self) -> float:
        """Of the traffic, in this step."""
        return self.plan.shares[self.at]


def plan_of_settings(settings: RampSettings) -> RampPlan:
    """Return the plan that a route's settings have."""
    return RampPlan(
        shares=tuple(step / 100 for step in settings.steps),
        dwell_ms=period_ms(settings.dwell),
        min_labels=settings.min_labels,
        gate=settings.gate,
        limit_ms=None if settings.limit is None else period_ms(settings.limit),
        at_limit=settings.at_limit,
    )


def plan_of_params(params: Mapping[str, Any], usual: RampSettings) -> RampPlan:
    """Read the plan of a command; what it leaves out is as in the settings.

    Raises ``RecordError`` (``invalid``) that names the parameter.
    """
    if unknown := [name for name in params if name not in _WORDS]:
        known = ", ".join(_WORDS)
        raise RecordError("invalid", f"params.{unknown[0]:.80} is not known; known: {known}")
    whole = {name: getattr(usual, name) for name in _WORDS} | dict(params)
    try:
        return plan_of_settings(msgspec.convert(whole, RampSettings, strict=True))
    except msgspec.ValidationError as error:
        raise RecordError("invalid", f"params: {error}") from error
