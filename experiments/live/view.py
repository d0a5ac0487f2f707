"""What is known of one route in live service, and how its requests are named."""

import asyncio
from dataclasses import dataclass, field

from leverframe.schemas.control import ControlMessage
from leverframe.streams.learning.state import RouteState

__all__ = ["View", "place_of", "request_id_of"]


def request_id_of(route: str, place: int) -> str:
    """Name the request of a row."""
    return f"{route}:{place}"


def place_of(request_id: str) -> tuple[str, int]:
    """Tell route and row of a request.

    Examples
    --------
    >>> place_of(request_id_of("elec2-ucb-0", 12))
    ('elec2-ucb-0', 12)
    """
    route, _, place = request_id.rpartition(":")
    return route, int(place)


@dataclass(slots=True)
class View:
    """What is known of one route.

    Attributes
    ----------
    state : RouteState or None
        Newest in the learning ledger.
    message : ControlMessage or None
        Newest on the control topic.
    held : set of int
        Rows whose predictions are in the attribution ledger.
    counted : list of int
        Rows in the order in which their rewards were counted.
    decisions : int
        Control messages that carry a decision.
    changed : asyncio.Event
        Set with each change.
    """

    state: RouteState | None = None
    message: ControlMessage | None = None
    held: set[int] = field(default_factory=set)
    counted: list[int] = field(default_factory=list)
    decisions: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def is_told(self) -> bool:
        """Whether the control topic has come as far as the ledger."""
        state, message = self.state, self.message
        return (
            state is not None
            and message is not None
            and (message.epoch, message.seq) >= (state.epoch, state.seq)
        )

    def is_final(self) -> bool:
        """Whether the newest message was issued after the last label: a decision or a heartbeat."""
        if self.message is None or self.state is None:
            return False
        arms: dict[str, dict[str, int]] = self.message.cause.get("arms", {})
        return sum(arm["labels"] for arm in arms.values()) == self.state.labels
