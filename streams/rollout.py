"""The rollout of arms: registration, promotion, rollback.

Authority: automation may take traffic off an arm or follow the policy within its limits. The guard
rolls back whatever is frozen, but not the very arm that a person pinned; a person's rollback goes
through everything, and lifts the pin of its arm.
"""

from typing import Final

from schemas.errors import RecordError
from streams.routes import Route
from streams.state import ArmState, RouteState

__all__ = ["fallback_of", "promote", "register_arm", "roll_back"]

REMEMBERED_CHAMPIONS: Final = 16


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
        phase="candidate" if first or not route.settings.nursery_labels else "nursery",
        nursery_until=route.settings.nursery_labels,
    )
    state.arms[name] = arm
    if first:
        state.champion = name
        state.target = {name: 1.0}
    return arm


def _new_epoch(state: RouteState, champion: str | None) -> None:
    """Every change of champion makes all evidence start afresh against the new one."""
    state.epoch += 1
    if champion == state.champion:
        return
    if state.champion is not None and state.arms[state.champion].is_eligible:
        state.last_known_good.append(state.champion)
        del state.last_known_good[:-REMEMBERED_CHAMPIONS]
    state.champion = champion


def promote(state: RouteState, name: str) -> None:
    """Make an arm the champion; the old one stays as a candidate and as last known good.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        An eligible arm.
    """
    state.arms[name].phase = "candidate"
    _new_epoch(state, name)


def fallback_of(state: RouteState, leaving: str) -> str | None:
    """Return the arm that takes the traffic of one that leaves.

    Parameters
    ----------
    state : RouteState
        Any.
    leaving : str
        The arm that leaves.

    Returns
    -------
    str or None
        The champion; if that is the one leaving the last known good, then the candidate with most
        labels; None if no other arm is eligible.
    """
    others = [name for name in state.eligible if name != leaving]
    if not others:
        return None
    if state.champion in others:
        return state.champion
    known_good = [name for name in state.last_known_good if name in others]
    if known_good:
        return known_good[-1]
    return max(others, key=lambda name: (state.arms[name].count, -state.arms[name].registration))


def roll_back(state: RouteState, name: str, phase: str = "quarantined") -> str:
    """Take all traffic off an arm and return it to the last known good, at once.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        The arm.
    phase : {"quarantined", "retired"}
        What becomes of it.

    Returns
    -------
    str
        The arm that takes over its traffic.

    Raises
    ------
    RecordError
        ``refused`` when no other arm is eligible.
    """
    heir = fallback_of(state, name)
    if heir is None:
        raise RecordError("refused", f"without {name!r} the route would have no eligible arm")
    state.arms[name].phase = "retired" if phase == "retired" else "quarantined"
    state.last_known_good = [arm for arm in state.last_known_good if arm != name]
    if state.pinned == name:
        state.pinned = None
    if state.champion == name:
        state.champion = None
        _new_epoch(state, heir)
        state.last_known_good = [arm for arm in state.last_known_good if arm != heir]
    else:
        state.epoch += 1
    freed = state.weights.get(name, 0.0)
    weights = {arm: share for arm, share in state.weights.items() if arm != name}
    weights[heir] = weights.get(heir, 0.0) + freed
    state.target = weights
    return heir
