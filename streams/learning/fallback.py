"""Where traffic goes when an arm must leave."""

from leverframe.streams.learning.state import RouteState

__all__ = ["fallback_of", "is_safe_to_leave", "last_known_good"]


def last_known_good(state: RouteState, leaving: str | None = None) -> str | None:
    """Return the newest former champion that may receive traffic.

    Parameters
    ----------
    state : RouteState
        Any.
    leaving : str, optional
        An arm that does not count.

    Returns
    -------
    str or None
        Its name; None if there is none.
    """
    for reign in reversed(state.last_known_good):
        if reign.arm != leaving and state.arms[reign.arm].is_eligible:
            return reign.arm
    return None


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
        labels, then such an arm of the nursery; None if no other arm is eligible.
    """
    others = [name for name in state.eligible if name != leaving]
    if not others:
        return None
    if state.champion in others:
        return state.champion
    known_good = last_known_good(state, leaving)
    if known_good is not None:
        return known_good
    arms = state.arms
    return max(
        others,
        key=lambda name: (
            arms[name].phase == "candidate",
            arms[name].count,
            -arms[name].registration,
        ),
    )


def is_safe_to_leave(state: RouteState, leaving: str) -> bool:
    """Whether automation may take an arm off: somebody stands in that is no mere beginner.

    Parameters
    ----------
    state : RouteState
        Any.
    leaving : str
        An eligible arm.

    Returns
    -------
    bool
        False also for the arm that a person pinned.
    """
    heir = fallback_of(state, leaving)
    return leaving != state.pinned and heir is not None and state.arms[heir].phase != "nursery"
