"""How fast shares may move, so that no backend is asked for more than it is warm for; pure.

Whole numbers of a common total. Nothing grows by more than a step in a time, and what may not grow
yet stays where it is. A rollback is different: what leaves a broken arm goes at once to arms that
are warm. Where there is none the heir is cold, and the broken arm keeps what the heir cannot take
yet: some bad answers for a few steps harm less than a cold backend that answers nobody.
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from leverframe.agents.actuate.shares import apportion

__all__ = ["Able", "Rises", "next_shares"]


class Able(Struct, frozen=True):
    """What arms can take now.

    Attributes
    ----------
    may_grow : collection of str
        A step more, since their last growth is long enough ago.
    warm : collection of str
        Whatever a broken arm had.
    """

    may_grow: Collection[str] = ()
    warm: Collection[str] = ()


def next_shares(
    now: Mapping[str, int],
    target: Mapping[str, int],
    broken: Collection[str],
    able: Able,
    step: int,
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
    step : int
        Most that an arm grows by at once.

    Returns
    -------
    dict of str to int
        Of the same total.

    Examples
    --------
    >>> next_shares({"old": 100, "new": 0}, {"old": 0, "new": 100}, (), Able({"new"}), 25)
    {'new': 25, 'old': 75}
    >>> next_shares({"old": 10, "bad": 90}, {"old": 100}, {"bad"}, Able(warm={"old"}), 25)
    {'bad': 0, 'old': 100}
    >>> next_shares({"old": 0, "bad": 100}, {"old": 100}, {"bad"}, Able({"old"}), 25)
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
        most = held[arm] + (step if arm in able.may_grow else 0)
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
    """When each arm last grew, and since when it is warm: pure, with time as an argument.

    What an arm had when it was first seen it may have had for long or for a moment. So it waits
    before it grows, as if it had grown just then, and is believed to be warm: a restart must not
    hold up a rollback.

    Parameters
    ----------
    every_s : float
        Seconds from one growth of an arm to the next.
    warm_from : int
        Whoever has had at least so much for ``every_s`` is warm.

    Examples
    --------
    >>> rises = Rises(10.0, warm_from=20)
    >>> rises.note({"old": 100, "new": 0}, 50.0)
    >>> rises.able(55.0), rises.wait_s(55.0)
    (Able(may_grow={'new'}, warm={'old'}), 5.0)
    """

    def __init__(self, every_s: float, warm_from: int) -> None:
        self._every_s = every_s
        self._warm_from = max(1, warm_from)
        self._held: dict[str, int] = {}
        self._rose_s: dict[str, float] = {}
        self._warming_s: dict[str, float] = {}

    def note(self, shares: Mapping[str, int], now_s: float) -> None:
        """Take shares that were seen to hold."""
        for arm, share in shares.items():
            before = self._held.get(arm)
            if share > (before or 0):
                self._rose_s[arm] = now_s
            if share < self._warm_from:
                self._warming_s.pop(arm, None)
            elif arm not in self._warming_s:
                self._warming_s[arm] = now_s - self._every_s if before is None else now_s
            self._held[arm] = share

    def able(self, now_s: float) -> Able:
        """Return what the arms can take."""
        waiting = self._waits(self._rose_s, now_s)
        warming = self._waits(self._warming_s, now_s)
        return Able(self._held.keys() - waiting.keys(), self._warming_s.keys() - warming.keys())

    def wait_s(self, now_s: float) -> float | None:
        """Return after how long an arm can take more; None where none has to wait."""
        waits = (self._waits(since, now_s) for since in (self._rose_s, self._warming_s))
        return min((wait for each in waits for wait in each.values()), default=None)

    def _waits(self, since_s: Mapping[str, float], now_s: float) -> dict[str, float]:
        left = {arm: at_s + self._every_s - now_s for arm, at_s in since_s.items()}
        return {arm: wait for arm, wait in left.items() if wait > 0}
