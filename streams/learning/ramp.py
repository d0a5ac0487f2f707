"""A ramp: an arm's share grows step by step, each step behind a gate. What is planned and kept."""

import itertools
import math
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

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
    """Return the plan that a route's settings have for its new arms."""
    return _plan(
        {
            "steps": list(settings.steps),
            "dwell": settings.dwell,
            "min_labels": settings.min_labels,
            "gate": settings.gate,
            "limit": settings.limit,
            "at_limit": settings.at_limit,
        },
        RampSettings(),
    )


def plan_of_params(params: Mapping[str, Any], usual: RampSettings) -> RampPlan:
    """Read the plan of a command; what it leaves out is as in the settings.

    Raises ``RecordError`` (``invalid``) that names the parameter.
    """
    if unknown := [name for name in params if name not in _WORDS]:
        raise _invalid(str(unknown[0]), f"is not known; known: {', '.join(_WORDS)}")
    return _plan(params, usual)


def _plan(params: Mapping[str, Any], usual: RampSettings) -> RampPlan:
    def of(name: str) -> Any:
        return params.get(name, getattr(usual, name))

    gate, at_limit, labels = of("gate"), of("at_limit"), of("min_labels")
    if gate not in {"healthy", "not_harmful"}:
        raise _invalid("gate", f"must be healthy or not_harmful, got {gate!r:.80}")
    if at_limit not in {"hold", "abort", "go_on"}:
        raise _invalid("at_limit", f"must be hold, abort or go_on, got {at_limit!r:.80}")
    if not isinstance(labels, int) or isinstance(labels, bool) or labels < 0:
        raise _invalid("min_labels", f"must be a whole number, at least 0, got {labels!r:.80}")
    limit = of("limit")
    return RampPlan(
        shares=_shares(of("steps")),
        dwell_ms=_ms("dwell", of("dwell")),
        min_labels=labels,
        gate=gate,
        limit_ms=None if limit is None else _ms("limit", limit),
        at_limit=at_limit,
    )


def _shares(steps: Any) -> tuple[float, ...]:
    """Percentages, rising to 100, as shares."""
    if not isinstance(steps, list) or not steps or not all(map(_is_number, steps)):
        raise _invalid("steps", f"must be a list of percentages, got {steps!r:.80}")
    is_rising = all(before < after for before, after in itertools.pairwise(steps))
    if not is_rising or steps[0] <= 0 or steps[-1] != 100:
        said = ", ".join(f"{step:g}" for step in steps)
        raise _invalid("steps", f"must rise from above 0 to 100, got {said}")
    return tuple(step / 100 for step in steps)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _ms(name: str, written: Any) -> int:
    try:
        return period_ms(written)
    except (TypeError, ValueError, KeyError, IndexError):
        raise _invalid(name, f"must be like 90s, 10m, 24h or 7d, got {written!r:.80}") from None


def _invalid(name: str, text: str) -> RecordError:
    return RecordError("invalid", f"params.{name} {text}")
