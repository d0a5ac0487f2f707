"""What a heartbeat says of those who follow a route."""

from typing import Any

from leverframe.streams.health.closed_loop import ClosedLoop

__all__ = ["loop_summary"]


def loop_summary(loop: ClosedLoop, version: tuple[int, int]) -> dict[str, Any]:
    """Return what a heartbeat says of those who follow.

    Parameters
    ----------
    loop : ClosedLoop
        Any.
    version : tuple of int
        Epoch and seq of the newest routing change.

    Returns
    -------
    dict
        ``replicas`` heard lately, those ``behind``, predictions ``served`` by arm under the weights
        in force, and ``alarms``; without what is empty.
    """
    summary: dict[str, Any] = {
        "replicas": len(loop.replicas),
        "behind": loop.behind(version),
        "served": dict(sorted(loop.served.items())),
        "alarms": {
            name: {"since_ms": alarm.since_ms, **alarm.evidence}
            for name, alarm in loop.alarms.items()
        },
    }
    return {name: value for name, value in summary.items() if value}
