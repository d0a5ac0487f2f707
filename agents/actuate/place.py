"""What the loop needs of a place where traffic is split, and what may go wrong there."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

__all__ = ["Context", "Place", "Seen", "Trouble", "retry_after_s"]

_MOST_WAIT_S: Final = 60.0


class Trouble(Exception):  # noqa: N818 - of the place; the actuator goes on and tries again
    """Something could not be read or written.

    Parameters
    ----------
    kind : str
        A stable word, for the metric: ``refused``, ``missing``, ``conflict``, ``moved``, ``busy``,
        ``unreachable``, ``unfit``.
    text : str
        What, where, and the cure.
    retry_after_s : float, optional
        What the other side asks for.
    """

    def __init__(self, kind: str, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.retry_after_s = retry_after_s


class Seen(Struct, frozen=True):
    """What was read.

    Attributes
    ----------
    shares : mapping of str to int
        By arm that has a backend there, of the place's total; all 0 where it sends traffic nowhere.
    pending : str
        Why it does not count as in force yet; empty where it does.
    others : tuple of str or None
        Who else has written it; empty where it was us. None where nobody can tell.
    faults : tuple of str
        What is wrong there and holds no write up, each with its cure.
    document : object
        As it was read, for the next write.
    """

    shares: Mapping[str, int]
    pending: str = ""
    others: tuple[str, ...] | None = None
    faults: tuple[str, ...] = ()
    document: Any = None


class Context(Struct, frozen=True):
    """Of which message the shares are, for templates."""

    route: str
    epoch: int
    seq: int
    kind: str


class Place(Protocol):
    """Where traffic is split."""

    @property
    def name(self) -> str:
        """As people call it, such as ``HTTPRoute shop/checkout``."""

    @property
    def total(self) -> int:
        """What shares sum to."""

    @property
    def is_readable(self) -> bool:
        """Whether what holds can be read back."""

    @property
    def tolerance(self) -> int:
        """By how much a share that is read back may differ from the one that was written."""

    async def read(self) -> Seen:
        """Read what holds. Raises ``Trouble``."""

    async def write(self, shares: Mapping[str, int], seen: Seen, context: Context) -> None:
        """Write shares. Raises ``Trouble``."""

    def preview(self, shares: Mapping[str, int], seen: Seen, context: Context) -> list[str]:
        """Return what would be written, a line each, without secrets. Raises ``Trouble``."""

    async def close(self) -> None:
        """Disconnect."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the wait that an answer asks for, a minute at most; None where it asks for none.

    Examples
    --------
    >>> retry_after_s({"Retry-After": "2"}), retry_after_s({"Retry-After": "later"})
    (2.0, None)
    """
    try:
        return min(_MOST_WAIT_S, max(0.0, float(headers.get("Retry-After", ""))))
    except ValueError:
        return None
