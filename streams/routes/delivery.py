"""How traffic moves where people set the pace: ramps, windows for changes, a holdout."""

import itertools
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct, field

from leverframe.streams.routes.periods import Period
from leverframe.streams.routes.windows import opens_ms

__all__ = ["ChangeWindow", "HoldoutSettings", "RampSettings"]


class RampSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the share of an arm grows step by step, unless a ``ramp`` command says otherwise.

    Attributes
    ----------
    new_arms : bool
        Whether each new arm gets its traffic by such a ramp, one after the other; else commands
        alone begin one.
    steps : list of float
        Percentages of the traffic, two at least, rising to 100, where the arm becomes the champion.
    dwell : str
        How long a step lasts at least (s, m, h, d).
    min_labels : int
        Labels of the arm that a step takes at least.
    gate : {"healthy", "not_harmful"}
        The verdict that lets it go on: proved to be no worse, or not proved to be worse.
    limit : str, optional
        How long a step may wait beyond its dwell; for ever when left out.
    at_limit : {"hold", "abort", "go_on"}
        What happens then: it goes on waiting and says so, it ends, or it goes on unless the arm is
        harmful.
    """

    new_arms: bool = False
    steps: Annotated[
        list[Annotated[float, Meta(gt=0, le=100)]], Meta(min_length=2, max_length=100)
    ] = field(default_factory=lambda: [1.0, 5.0, 25.0, 50.0, 100.0])
    dwell: Period = "10m"
    min_labels: Annotated[int, Meta(ge=0, le=10**12)] = 500
    gate: Literal["healthy", "not_harmful"] = "healthy"
    limit: Period | None = None
    at_limit: Literal["hold", "abort", "go_on"] = "hold"

    def __post_init__(self) -> None:
        """Refuse steps that do not rise to 100."""
        is_rising = all(one < other for one, other in itertools.pairwise(self.steps))
        if not is_rising or self.steps[-1] != 100:
            said = ", ".join(f"{step:g}" for step in self.steps)
            raise ValueError(f"steps must rise to 100, got {said}")


class ChangeWindow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When promotions and ramps may move on; rollbacks never wait.

    Attributes
    ----------
    not_before : str, optional
        A date and time (ISO 8601) before which nothing moves; in ``time_zone`` where it names none.
    days : list of {"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
        All when left out.
    hours : list of int
        From and until (24 hours, whole numbers); until may be less than from, over midnight.
    time_zone : str
        As in the IANA database.
    """

    not_before: str | None = None
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = field(
        default_factory=list
    )
    hours: tuple[Annotated[int, Meta(ge=0, le=24)], Annotated[int, Meta(ge=0, le=24)]] = (0, 24)
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse a zone or a time that nobody knows."""
        try:
            zone = ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"time_zone {self.time_zone!r} is not known") from error
        begin, _ = self.hours
        if begin == 24:
            raise ValueError("hours must begin before 24")
        if self.not_before is not None:
            opens_ms(self.not_before, zone)


class HoldoutSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An arm that keeps a share for good, to measure what the whole system is worth.

    Attributes
    ----------
    arm : str
        Its name. It is compared with no other, so the guard rolls it back for the route's floor
        alone, and it is put on no probation.
    share : float
        Of the traffic, whatever the policy says; nothing while the arm may have no traffic.
    """

    arm: str
    share: Annotated[float, Meta(gt=0, le=0.5)] = 0.05
