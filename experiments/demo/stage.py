"""Waits for the acts of the demo, and says how far they are."""

import time
from collections.abc import Callable
from typing import Final

from leverframe.experiments.demo.acts import Act, Seen, judge, tell_progress
from leverframe.experiments.demo.observer import Observer

__all__ = ["Stage", "UnreachedError"]

# On a machine at ease an act takes less.
_PROGRESS_S: Final = 15.0
# The time that has passed is no news.
_LOOK_S: Final = 1.0


class UnreachedError(Exception):
    """An act did not reach its goal; the text is the reason."""


class Stage:
    """Where the acts are played.

    Parameters
    ----------
    observer : Observer
        Started.
    challenger : str
        Whose traffic and rollback the acts are about.
    say : callable
        Takes lines for the user.
    rate : float
        Requests a second that were asked for.
    duration_s : float
        Time for all acts, from now.
    """

    def __init__(
        self,
        observer: Observer,
        challenger: str,
        say: Callable[[str], None],
        rate: float,
        duration_s: float,
    ) -> None:
        self._observer = observer
        self._challenger = challenger
        self._say = say
        self._rate = rate
        self._deadline_s = time.monotonic() + duration_s

    async def wait_for(self, act: Act) -> None:
        """Return when its goal is reached.

        Raises
        ------
        UnreachedError
            If it cannot be reached any more.
        """
        observer = self._observer
        began_s, before = observer.now_s, observer.labels
        told_s = began_s
        while not (judgement := judge(act, seen := self._look(began_s, before))).is_over:
            if observer.now_s - told_s >= _PROGRESS_S:
                told_s = observer.now_s
                self._say(tell_progress(act, seen, self._rate))
            await observer.wait_for_news(_LOOK_S)
        if judgement.failure is not None:
            raise UnreachedError(judgement.failure)

    def _look(self, began_s: float, before: int) -> Seen:
        observer = self._observer
        now_s, newest = observer.now_s, observer.newest
        last_s = observer.rewards[-1][0] if observer.rewards else began_s
        return Seen(
            labels=observer.labels - before,
            share=observer.weights.get(self._challenger, 0.0),
            is_off=newest is not None and self._challenger in newest.quarantined,
            act_s=now_s - began_s,
            silent_s=now_s - max(began_s, last_s),
            left_s=self._deadline_s - time.monotonic(),
        )
