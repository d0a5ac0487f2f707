"""What a decision asks for, before anything is done about it: propose, then apply.

Guard, promotion, drift and commands return a ``Change`` and touch nothing that it would change;
``step.py`` alone applies one: it carries out the moves, reweighs and publishes.
"""

from typing import Any, TypeAlias

from msgspec import Struct

from leverframe.schemas.causes import Known
from leverframe.schemas.control import ControlKind
from leverframe.streams.learning.proposal import Proposal
from leverframe.streams.learning.ramp import Ramp

__all__ = [
    "Change",
    "Freeze",
    "Grow",
    "Hold",
    "Move",
    "Pin",
    "Promote",
    "Propose",
    "PutOnProbation",
    "RegisterArm",
    "Release",
    "Retire",
    "RollBack",
    "SetPolicy",
    "SetRamp",
]


class RegisterArm(Struct, frozen=True):
    """Add an arm: the first one becomes the champion, later ones start in the nursery.

    One in shadow answers beside the others, without traffic. What is known beforehand is a score on
    held-out data, of so many rows, or successes and failures.
    """

    arm: str
    validation_score: float | None = None
    in_shadow: bool = False
    validation_count: int | None = None
    prior: tuple[float, float] | None = None


class Grow(Struct, frozen=True):
    """Let an arm leave the nursery."""

    arm: str


class Promote(Struct, frozen=True):
    """Make an arm the champion; the old one stays as a candidate and as last known good.

    Who approved it, and on which evidence (nats), is kept with the reign that ends.
    """

    arm: str
    approved_by: str = ""
    log_evidence: float | None = None


class RollBack(Struct, frozen=True):
    """Take all traffic off an arm and return it to the last known good, at once.

    ``to`` is an arm in shadow that is proved better, where no other arm may receive traffic.
    """

    arm: str
    to: str | None = None


class Retire(Struct, frozen=True):
    """Take an arm off for good."""

    arm: str


class Release(Struct, frozen=True):
    """Let a quarantined arm start again in the nursery, with fresh evidence."""

    arm: str


class Hold(Struct, frozen=True):
    """Keep an arm's share from growing until a stream time, ms since the epoch."""

    arm: str
    until_ms: int


class Pin(Struct, frozen=True):
    """Send all traffic to one arm; to none in particular when it is None."""

    arm: str | None


class Freeze(Struct, frozen=True):
    """Hold the weights as they are, or let them move again."""

    is_frozen: bool


class PutOnProbation(Struct, frozen=True):
    """Bound a suspect's share and give its reference labels first; nobody's when it is None."""

    arm: str | None
    compared_with: str = ""


class SetPolicy(Struct, frozen=True):
    """Replace the policy that the settings name."""

    name: str
    params: dict[str, Any]


class Propose(Struct, frozen=True):
    """Let a promotion wait for a person, or end that; one that was declined is held until a time.

    Stream time, ms since the epoch.
    """

    proposal: Proposal | None
    declined: str | None = None
    until_ms: int = 0


class SetRamp(Struct, frozen=True):
    """Begin a ramp, move it on, pause it, or end it (None)."""

    ramp: Ramp | None


Move: TypeAlias = (
    RegisterArm
    | Grow
    | Promote
    | RollBack
    | Retire
    | Release
    | Hold
    | Pin
    | Freeze
    | SetPolicy
    | PutOnProbation
    | SetRamp
    | Propose
)


class Change(Struct, frozen=True, kw_only=True):
    """What is to become of a route, and why.

    Attributes
    ----------
    kind : str
        Of the control message that says so.
    cause : Known
        Evidence as it stands before the moves; where the record lies, and the arms as they are
        after it, are added by whoever publishes.
    moves : tuple of Move
        Carried out in this order.
    reweighs : bool
        Whether the policy sets the weights anew after the moves.
    newcomer : str or None
        An arm for which frozen weights make room.
    least_step : float
        Published only if a weight moves by this much.
    """

    kind: ControlKind
    cause: Known
    moves: tuple[Move, ...] = ()
    reweighs: bool = False
    newcomer: str | None = None
    least_step: float = 0.0
