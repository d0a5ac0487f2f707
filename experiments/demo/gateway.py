"""What the gateway's demo knows: two model versions, how often each is right, what was seen."""

from collections import Counter, deque
from collections.abc import Iterable

from msgspec import Struct, field

__all__ = ["CHALLENGER", "CHAMPION", "RIGHT", "Service"]

CHAMPION, CHALLENGER = "v1", "v2"
RIGHT = {CHAMPION: 0.7, CHALLENGER: 0.95}
"""How often each is right, until the challenger breaks."""

_NEWEST = 100


class Service(Struct):
    """What one service has answered.

    Attributes
    ----------
    name : str
        Its language.
    answers : int
        So far.
    newest : deque of str
        Arms of its newest answers.
    after : Counter
        Arms of what it was asked after the rollback was in force.
    """

    name: str
    answers: int = 0
    newest: deque[str] = field(default_factory=lambda: deque(maxlen=_NEWEST))
    after: Counter[str] = field(default_factory=Counter)

    def note(self, arm: str, *, is_after: bool) -> None:
        """Take one answer."""
        self.answers += 1
        self.newest.append(arm)
        if is_after:
            self.after[arm] += 1

    def share(self) -> float:
        """Return the challenger's part of the newest answers."""
        return _share(self.newest)


def _share(arms: Iterable[str]) -> float:
    counts = Counter(arms)
    return counts[CHALLENGER] / counts.total() if counts else 0.0
