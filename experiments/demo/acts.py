"""Judges the acts of the demo by labels, not by time: pure, so that a slow machine is only slow."""

from typing import Final, Literal, assert_never

from msgspec import Struct

__all__ = ["Act", "Judgement", "Seen", "judge", "tell_progress"]

# Without a label for this time nothing works any more, however slow the machine is.
_SILENT_S: Final = 120.0


class Act(Struct, frozen=True, kw_only=True):
    """What the demo waits for.

    Attributes
    ----------
    goal : str
        ``labels``: that many labels; ``traffic``: most of it for the challenger; ``rollback``: the
        challenger is off.
    labels : int
        Labels of the goal, or the most that may come until the goal is reached.
    arm : str
        The challenger.
    is_rollback_wrong : bool
        Whether a rollback of the challenger ends the demo: it was not broken yet.
    """

    goal: Literal["labels", "traffic", "rollback"]
    labels: int
    arm: str
    is_rollback_wrong: bool = True


class Seen(Struct, frozen=True, kw_only=True):
    """What was seen of an act so far.

    Attributes
    ----------
    labels : int
        Rewards since it began.
    share : float
        Of the traffic, the challenger's, 0 to 1.
    is_off : bool
        Whether the challenger is quarantined.
    act_s : float
        Since the act began.
    silent_s : float
        Since the newest reward, or since the act began.
    left_s : float
        Until the demo's time is up.
    """

    labels: int
    share: float
    is_off: bool
    act_s: float
    silent_s: float
    left_s: float


class Judgement(Struct, frozen=True, kw_only=True):
    """Whether an act is over.

    Attributes
    ----------
    is_over : bool
        No more to wait for.
    failure : str or None
        Why the demo cannot go on, if it cannot.
    """

    is_over: bool
    failure: str | None = None


def judge(act: Act, seen: Seen) -> Judgement:
    """Decide whether an act goes on.

    Parameters
    ----------
    act : Act
        What is waited for.
    seen : Seen
        Of the act until now.

    Returns
    -------
    Judgement
        A goal that was reached counts, however late.

    Examples
    --------
    >>> act = Act(goal="traffic", labels=40_000, arm="b")
    >>> seen = Seen(labels=900, share=0.3, is_off=False, act_s=300, silent_s=0, left_s=300)
    >>> judge(act, seen).is_over
    False
    """
    if act.is_rollback_wrong and seen.is_off:
        reason = f"{act.arm} was rolled back before it was broken; {_so_far(seen)}"
        return Judgement(is_over=True, failure=reason)
    if _is_reached(act, seen):
        return Judgement(is_over=True)
    failure = _failure(act, seen)
    return Judgement(is_over=failure is not None, failure=failure)


def _is_reached(act: Act, seen: Seen) -> bool:
    match act.goal:
        case "labels":
            return seen.labels >= act.labels
        case "traffic":
            return seen.share > 0.5
        case "rollback":
            return seen.is_off
        case other:
            assert_never(other)


def _failure(act: Act, seen: Seen) -> str | None:
    if act.goal != "labels" and seen.labels >= act.labels:
        return f"{_unreached(act, seen)} within {act.labels:,} labels"
    if seen.silent_s >= _SILENT_S:
        return f"no label came for {seen.silent_s:.0f} s; {_unreached(act, seen)}"
    if seen.left_s <= 0:
        return (
            f"the time was up (--duration): {_unreached(act, seen)}, {_so_far(seen)}; "
            "give it more, or a lower --rate"
        )
    return None


def _unreached(act: Act, seen: Seen) -> str:
    match act.goal:
        case "labels":
            return f"only {seen.labels:,} of {act.labels:,} labels had come"
        case "traffic":
            return f"{act.arm} did not get most of the traffic (it has {seen.share:.0%})"
        case "rollback":
            return f"{act.arm} was broken, and not rolled back"
        case other:
            assert_never(other)


def _so_far(seen: Seen) -> str:
    return f"{seen.labels:,} labels had come in {seen.act_s:.0f} s"


def tell_progress(act: Act, seen: Seen, rate: float) -> str:
    """Say how far an act is, and when it is the machine that is slow.

    Parameters
    ----------
    act : Act
        What is waited for.
    seen : Seen
        Of the act until now.
    rate : float
        Requests a second that were asked for.

    Returns
    -------
    str
        One line.
    """
    through = seen.labels / seen.act_s if seen.act_s > 0 else 0.0
    bound = "of" if act.goal == "labels" else "labels, of at most"
    line = f"{seen.labels:,} {bound} {act.labels:,}"
    line += " labels" if act.goal == "labels" else f" until {_awaited(act)}"
    if through < rate / 2:
        line += (
            f"; {through:.0f} of {rate:.0f} a second come through, so it takes longer: "
            "the demo counts labels, not seconds"
        )
    return line


def _awaited(act: Act) -> str:
    return f"{act.arm} has most of the traffic" if act.goal == "traffic" else f"{act.arm} is off"
