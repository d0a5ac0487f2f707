"""What is published is never ahead of the statistics behind it."""

from leverframe.agents.worker.published import find_ahead
from leverframe.schemas.control import ControlMessage
from leverframe.streams.learning.state import RouteState


def message(route: str, epoch: int, seq: int) -> ControlMessage:
    return ControlMessage(
        route=route,
        epoch=epoch,
        seq=seq,
        kind="heartbeat",
        weights={"a": 1.0},
        champion="a",
        quarantined=[],
        safe_weights={"a": 1.0},
        ttl_ms=30_000,
        issued_at_ms=0,
        salt="0",
        cause={},
        state_digest="0",
    )


def test_only_what_lies_above_the_ledger_is_ahead() -> None:
    """By epoch, then seq; a route that the ledger does not know stands at nothing."""
    known = {"r": RouteState("r", epoch=3, seq=40), "s": RouteState("s", epoch=1, seq=2)}
    assert find_ahead([message("r", 3, 40), message("r", 2, 99), message("s", 1, 1)], known) is None
    assert find_ahead([message("r", 3, 41)], known) == message("r", 3, 41)
    assert find_ahead([message("r", 4, 0)], known) == message("r", 4, 0)
    assert find_ahead([message("t", 1, 1)], known) == message("t", 1, 1)
