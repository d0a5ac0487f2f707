"""An arm's life as a table of transitions, and what each does to the route.

Authority: automation may take traffic off an arm or follow the policy within its limits. The guard
rolls back whatever is frozen, but not the very arm that a person pinned; a person's rollback goes
through everything, and lifts the pin of its arm.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from leverframe.policies.guard.evidence import restart, restart_level
from leverframe.schemas.errors import RecordError
from leverframe.streams.learning.arm import NANO, ArmPhase, ArmState
from leverframe.streams.learning.fallback import fallback_of
from leverframe.streams.learning.state import Reign, RouteState
from leverframe.streams.routes.route import Route

__all__ = [
    "TRANSITIONS",
    "Event",
    "move",
    "promote",
    "register_arm",
    "release",
    "retire",
    "roll_back",
]

Event: TypeAlias = Literal[
    "registered",
    "first arm",
    "grown",
    "promoted",
    "succeeded",
    "rolled back",
    "released",
    "retired",
]

TRANSITIONS: Final[Mapping[tuple[ArmPhase | None, Event], ArmPhase]] = {
    (None, "first arm"): "champion",
    (None, "registered"): "nursery",
    ("nursery", "grown"): "candidate",
    ("nursery", "promoted"): "champion",
    ("candidate", "promoted"): "champion",
    ("champion", "succeeded"): "candidate",
    ("nursery", "rolled back"): "quarantined",
    ("candidate", "rolled back"): "quarantined",
    ("champion", "rolled back"): "quarantined",
    ("quarantined", "released"): "nursery",
    ("nursery", "retired"): "retired",
    ("candidate", "retired"): "retired",
    ("champion", "retired"): "retired",
    ("quarantined", "retired"): "retired",
}
"""Phase before and what happens, to phase after. Everything else is refused."""

REMEMBERED_CHAMPIONS: Final = 16


def move(state: RouteState, name: str, event: Event) -> None:
    """Take an arm to its next phase.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        A registered arm.
    event : str
        What happens to it.

    Raises
    ------
    RecordError
        ``refused`` when the table has no such transition.
    """
    arm = state.arms[name]
    to = TRANSITIONS.get((arm.phase, event))
    if to is None:
        possible = [what for phase, what in TRANSITIONS if phase == arm.phase]
        raise RecordError(
            "refused",
            f"arm {name!r} is {arm.phase} and cannot be {event}; "
            f"it can be: {', '.join(possible) or 'nothing more'}",
        )
    arm.phase = to


def register_arm(
    state: RouteState, name: str, route: Route, now_ms: int, validation_score: float | None = None
) -> ArmState:
    """Add an arm; the first one becomes the champion, later ones start in the nursery.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        The new arm.
    route : Route
        Its settings.
    now_ms : int
        Stream time.
    validation_score : float, optional
        On held-out data.

    Returns
    -------
    ArmState
        Of the new arm.

    Raises
    ------
    RecordError
        ``limit`` when the route has as many arms as it may.
    """
    if len(state.arms) >= route.settings.max_arms:
        raise RecordError("limit", f"the route has {len(state.arms)} arms, no more are accepted")
    first = not state.eligible
    arm = ArmState(
        registration=len(state.arms) + 1,
        registered_at_ms=now_ms,
        validation_score=validation_score,
        phase=TRANSITIONS[None, "first arm" if first else "registered"],
        nursery_until=route.settings.nursery_labels,
    )
    state.arms[name] = arm
    if first:
        state.champion = name
        state.target = {name: 1.0}
    elif not route.settings.nursery_labels:
        move(state, name, "grown")
    return arm


def _crown(state: RouteState, name: str) -> None:
    """Evidence against the old one ends at the next decision, which looks references up."""
    move(state, name, "promoted")
    state.champion = name
    state.last_known_good = [reign for reign in state.last_known_good if reign.arm != name]


def promote(state: RouteState, name: str, now_ms: int) -> None:
    """Make an arm the champion; the old one stays as a candidate and as last known good.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        An eligible arm.
    now_ms : int
        Stream time.

    Raises
    ------
    RecordError
        ``refused`` when the arm's phase does not allow it; the state is then unchanged.
    """
    before = state.champion
    _crown(state, name)
    if before is not None:
        move(state, before, "succeeded")
        arm = state.arms[before]
        mean = round(arm.sum_nano / NANO / arm.count, 6) if arm.count else None
        reign = Reign(before, state.epoch, now_ms, arm.count, mean, arm.verdict)
        state.last_known_good = [r for r in state.last_known_good if r.arm != before] + [reign]
        del state.last_known_good[:-REMEMBERED_CHAMPIONS]
    state.epoch += 1


def roll_back(state: RouteState, name: str, route: Route, now_ms: int) -> str:
    """Take all traffic off an arm and return it to the last known good, at once.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        An eligible arm.
    route : Route
        Says how long the cooldown is.
    now_ms : int
        Stream time.

    Returns
    -------
    str
        The arm that takes over its traffic.

    Raises
    ------
    RecordError
        ``refused`` when no other arm is eligible.
    """
    heir = _leave(state, name, "rolled back")
    state.cooldown_until_ms = now_ms + round(route.settings.guard.cooldown_s * 1000)
    return heir


def retire(state: RouteState, name: str) -> None:
    """Take an arm off for good.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        An arm that is not yet retired.

    Raises
    ------
    RecordError
        ``refused`` when it is retired already, or no other arm is eligible.
    """
    if state.arms[name].is_eligible:
        _leave(state, name, "retired")
    else:
        move(state, name, "retired")


def _leave(state: RouteState, name: str, event: Event) -> str:
    heir = fallback_of(state, name)
    if heir is None:
        raise RecordError("refused", f"without {name!r} the route would have no eligible arm")
    move(state, name, event)
    left = state.arms[name]
    restart(left.evidence, "", left.firsts, (0, 0))
    state.last_known_good = [reign for reign in state.last_known_good if reign.arm != name]
    if state.pinned == name:
        state.pinned = None
    if state.champion == name:
        _crown(state, heir)
    state.epoch += 1
    freed = state.weights.get(name, 0.0)
    weights = {arm: share for arm, share in state.weights.items() if arm != name}
    weights[heir] = weights.get(heir, 0.0) + freed
    state.target = weights
    return heir


def release(state: RouteState, name: str, route: Route) -> None:
    """Let a quarantined arm start again in the nursery, with fresh evidence.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        The arm; its old labels stay counted.
    route : Route
        Says how long the nursery is.

    Raises
    ------
    RecordError
        ``refused`` when it is not quarantined.
    """
    move(state, name, "released")
    arm = state.arms[name]
    arm.nursery_until = arm.count + route.settings.nursery_labels
    arm.verdict = "no_data"
    restart(arm.evidence, "", arm.firsts, (0, 0))
    restart_level(arm.evidence, arm.firsts)
    # What it is suspected for must have happened since.
    arm.last_label_ms, arm.recent, arm.held_until_ms = 0, [], 0
