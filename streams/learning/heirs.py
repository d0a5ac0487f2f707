"""Who stands in for whom: the reference of an arm, and the heir of one that leaves.

Nobody is exempt: while two arms are eligible each has a reference. What is known of an arm is what
the guard's bets say now: an arm with evidence against it is not known to be good, whatever it was.
"""

from typing import Final

from leverframe.policies.guard.interval import confidence_interval
from leverframe.policies.units import FROM_NANO
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.measured import is_suspect
from leverframe.streams.learning.state import RouteState

__all__ = [
    "fallback_of",
    "heir_in_shadow",
    "is_doubted",
    "is_safe_to_leave",
    "is_worse",
    "last_known_good",
    "reference_of",
]

_DOUBT_MICRO: Final = 1_609_438  # log 5 in 1e-6 nats
_ALPHA: Final = 0.05


def is_doubted(arm: ArmState) -> bool:
    """Whether the evidence against an arm is 5 to 1, or more."""
    return arm.verdict == "harmful" or arm.against_micro >= _DOUBT_MICRO


def last_known_good(state: RouteState, leaving: str | None = None) -> str | None:
    """Return the newest former champion that may receive traffic and is not doubted.

    ``leaving`` is left out.
    """
    for reign in reversed(state.last_known_good):
        arm = state.arms[reign.arm]
        is_sound = not (is_doubted(arm) or is_suspect(state.measured, reign.arm))
        if reign.arm != leaving and arm.is_eligible and is_sound:
            return reign.arm
    return None


def fallback_of(state: RouteState, leaving: str) -> str | None:
    """Return the arm that takes the traffic of one that leaves; None if no other is eligible.

    By the evidence as it stands: no harmful arm, no beginner and no doubted one, by labels or by a
    guardrail, while there is another. Among those the champion, then the last known good, then the
    candidate whose mean is surely the highest.
    """
    others = [name for name in state.eligible if name != leaving]
    if not others:
        return None
    good = last_known_good(state, leaving)
    return max(
        others,
        key=lambda name: (
            state.arms[name].verdict != "harmful",
            state.arms[name].phase != "nursery",
            _standing(state.arms[name]),
            not is_suspect(state.measured, name),
            name == state.champion,
            name == good,
            _least_mean(state.arms[name]),
            state.arms[name].count,
            -state.arms[name].registration,
        ),
    )


def _standing(arm: ArmState) -> tuple[bool, int]:
    """By the evidence against it alone; a higher one is better."""
    return not is_doubted(arm), -arm.against_micro if is_doubted(arm) else 0


def _least_mean(arm: ArmState) -> float:
    low, _ = confidence_interval(arm.first_count, arm.first_sum_nano * FROM_NANO, _ALPHA)
    return low


def is_worse(heir: ArmState, leaving: ArmState) -> bool:
    """Whether there is evidence against an heir, and more of it than against the arm it follows."""
    return is_doubted(heir) and _rank(heir) < _rank(leaving)


def _rank(arm: ArmState) -> tuple[bool, bool, int]:
    return (arm.verdict != "harmful", *_standing(arm))


def is_safe_to_leave(state: RouteState, leaving: str) -> bool:
    """Whether automation may take an arm off.

    No person pinned it, no beginner stands in, and no harmful arm unless it is the lesser evil.
    """
    name = fallback_of(state, leaving)
    if leaving == state.pinned or name is None:
        return False
    heir = state.arms[name]
    return heir.phase != "nursery" and (
        heir.verdict != "harmful" or _rank(heir) > _rank(state.arms[leaving])
    )


def reference_of(state: RouteState, name: str) -> str | None:
    """Return the arm that one is held against; None where it is alone.

    Challengers are held against the champion. The champion keeps its reference, so that evidence
    can gather, until a better one is there: who would stand in for it.
    """
    if name != state.champion:
        return state.champion
    now = state.arms[name].evidence.reference
    known = state.arms.get(now)
    if known is not None and known.is_eligible and _is_sound(known):
        return now
    best = fallback_of(state, name)
    if best is None:
        return _best_in_shadow(state, now)
    if known is None or not known.is_judged or _is_sound(state.arms[best]):
        return best
    return now


def _best_in_shadow(state: RouteState, now: str) -> str | None:
    """Return the arm in shadow that a champion without eligible rivals is held against, if any.

    One that answered requests together with it, and is not doubted; the same as long as it is so.
    """
    able = {
        name: arm
        for name, arm in state.arms.items()
        if arm.phase == "shadow" and arm.paired[0] and not is_doubted(arm)
    }
    if now in able:
        return now
    return max(
        able, key=lambda name: (_least_mean(able[name]), -able[name].registration), default=None
    )


def heir_in_shadow(state: RouteState, leaving: str) -> str | None:
    """Return the arm in shadow that an arm without grown rivals is held against, if any.

    It takes over by proof alone; a beginner with traffic has none.
    """
    reference = state.arms[leaving].evidence.reference
    known = state.arms.get(reference)
    is_able = known is not None and known.phase == "shadow" and not is_doubted(known)
    other = fallback_of(state, leaving)
    is_alone = other is None or state.arms[other].phase == "nursery"
    return reference if is_able and is_alone else None


def _is_sound(arm: ArmState) -> bool:
    """Whether there is no better kind of reference: neither a beginner nor doubted."""
    return arm.phase != "nursery" and not is_doubted(arm)
