"""How fast shares may move, so that no backend is asked for more than it is warm for; pure.

Whole numbers of a common total. No arm gains more than a step within a time, and what it may not
have yet stays where it is. A rollback is different: what leaves a broken arm goes at once to arms
that are warm. Where there is none the heir is cold, and the broken arm keeps what the heir cannot
take yet: some bad answers for a while harm less than a cold backend that answers nobody.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from math import inf

from msgspec import Struct, field

from leverframe.agents.actuate.shares import apportion

__all__ = ["Able", "Rises", "next_shares"]


class Able(Struct, frozen=True):
    """What arms can take now.

    Attributes
    ----------
    most : mapping of str to int
        The largest share; an arm that is missing can have what it has.
    warm : collection of str
        Who can have, beyond that, whatever a broken arm had.
    """

    most: Mapping[str, int] = field(default_factory=dict)
    warm: Collection[str] = ()


def next_shares(
    now: Mapping[str, int],
    target: Mapping[str, int],
    broken: Collection[str],
    able: Able,
) -> dict[str, int]:
    """Return the shares to write next, on the way from those that hold to those that are wanted.

    Parameters
    ----------
    now, target : mapping of str to int
        Of the same total; an arm that one of them lacks has 0 there. Where nothing holds, since all
        are 0, there is nothing to be kept up meanwhile, and the target is written at once.
    broken : collection of str
        Arms that should have none: quarantined.
    able : Able
        What the arms can take.

    Returns
    -------
    dict of str to int
        Of the same total.

    Examples
    --------
    >>> next_shares({"old": 100, "new": 0}, {"new": 100}, (), Able({"new": 25}))
    {'new': 25, 'old': 75}
    >>> next_shares({"old": 10, "bad": 90}, {"old": 100}, {"bad"}, Able(warm={"old"}))
    {'bad': 0, 'old': 100}
    >>> next_shares({"old": 0, "bad": 100}, {"old": 100}, {"bad"}, Able({"old": 25}))
    {'bad': 75, 'old': 25}
    """
    arms = sorted({*now, *target})
    held = {arm: now.get(arm, 0) for arm in arms}
    wanted = {arm: target.get(arm, 0) for arm in arms}
    if not any(held.values()):
        return wanted
    is_freed = any(held[arm] > wanted[arm] for arm in arms if arm in broken)
    heirs = {arm for arm in arms if arm in able.warm and arm not in broken} if is_freed else set()
    given = {}
    for arm in arms:
        most = max(held[arm], able.most.get(arm, 0))
        given[arm] = wanted[arm] if arm in heirs else min(wanted[arm], most)
    left = sum(wanted.values()) - sum(given.values())
    left -= _keep(given, held, (arm for arm in arms if arm not in broken), left)
    for arm, more in apportion({arm: held[arm] for arm in heirs}, left).items():
        given[arm] += more
        left -= more
    _keep(given, held, (arm for arm in arms if arm in broken), left)
    return given


def _keep(given: dict[str, int], held: Mapping[str, int], arms: Iterable[str], left: int) -> int:
    """Let arms that shrink keep what nobody takes yet, by what they would lose; return how much."""
    room = {arm: held[arm] - given[arm] for arm in arms if held[arm] > given[arm]}
    kept = apportion(room, min(left, sum(room.values())))
    for arm, share in kept.items():
        given[arm] += share
    return sum(kept.values())


class Rises:
    """What arms had within the last while, and since when they are warm: pure, time is an argument.

    What an arm had when it was first seen it may have had for long or for a moment. So it waits
    before it gains more, as if it had gained a step just then, and is believed to be warm: a
    restart must not hold up a rollback.

    Parameters
    ----------
    step : int
        Most that an arm gains within ``every_s``.
    every_s : float
        Seconds.
    warm_from : int
        Whoever has had at least so much for ``every_s`` is warm.

    Examples
    --------
    >>> rises = Rises(25, 10.0, warm_from=20)
    >>> rises.note({"old": 100, "new": 0}, 50.0)
    >>> rises.able(55.0), rises.wait_s(55.0)
    (Able(most={'old': 100, 'new': 25}, warm={'old'}), 5.0)
    """

    def __init__(self, step: int, every_s: float, warm_from: int) -> None:
        self._step = step
        self._every_s = every_s
        self._warm_from = max(1, warm_from)
        # By arm: shares that rise from one to the next, with the time at which each ended; the
        # last one holds. One that is not below all that came after it can be no minimum any more.
        self._had: dict[str, deque[tuple[int, float]]] = {}
        self._warming_s: dict[str, float] = {}

    def note(self, shares: Mapping[str, int], now_s: float) -> None:
        """Take shares that were seen to hold."""
        for arm, share in shares.items():
            had = self._had.get(arm)
            is_new = had is None
            if had is None:
                had = self._had[arm] = deque([(max(0, share - self._step), inf)])
            if share != had[-1][0]:
                had.append((had.pop()[0], now_s))
                while had and had[-1][0] >= share:
                    had.pop()
                had.append((share, inf))
            if share < self._warm_from:
                self._warming_s.pop(arm, None)
            elif arm not in self._warming_s:
                self._warming_s[arm] = now_s - self._every_s if is_new else now_s

    def able(self, now_s: float) -> Able:
        """Return what the arms can take."""
        most = {arm: self._least(had, now_s)[0] + self._step for arm, had in self._had.items()}
        warm = {arm for arm, at_s in self._warming_s.items() if at_s + self._every_s <= now_s}
        return Able(most, warm)

    def wait_s(self, now_s: float) -> float | None:
        """Return after how long an arm can take more; None where none has to wait."""
        ends = [self._least(had, now_s)[1] for had in self._had.values()]
        waits = [at_s + self._every_s - now_s for at_s in (*ends, *self._warming_s.values())]
        return min((wait for wait in waits if 0 < wait < inf), default=None)

    def _least(self, had: deque[tuple[int, float]], now_s: float) -> tuple[int, float]:
        """The least of the last while, and when it ended."""
        while had[0][1] + self._every_s <= now_s:
            had.popleft()
        return had[0]
