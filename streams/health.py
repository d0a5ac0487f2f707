"""What a heartbeat says of those who follow a route, and of its join."""

from typing import Any

from streams.closed_loop import ClosedLoop

__all__ = ["join_health", "loop_summary"]


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


def join_health(joins: dict[str, int]) -> dict[str, Any]:
    """Return what a heartbeat says of the join.

    Parameters
    ----------
    joins : dict of str to int
        Of ``ClosedLoop``.

    Returns
    -------
    dict
        The counts, and ``coverage``: the share of predictions that got a label of their own.
    """
    predictions, labelled = joins.get("prediction", 0), joins.get("labelled", 0)
    return joins | {"coverage": round(labelled / predictions, 4) if predictions else None}
