"""Routes as tables for people."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from leverframe.agents.cli.printable import printable

__all__ = ["join_table", "routes_table"]

_JOIN_COLUMNS = {
    "predictions": ("prediction",),
    "labels": ("label",),
    "twice": ("duplicate_prediction", "duplicate_label"),
    "revised": ("revision", "withdrawal"),
    "late": ("late_prediction", "late_label"),
    "defaults": ("expiry",),
    "orphans": ("orphan_prediction",),
}


def routes_table(messages: Mapping[str, Any], now_ms: float) -> Table:
    """Return all arms of some routes.

    Parameters
    ----------
    messages : mapping of str to ControlMessage
        The newest of each route, in the order of the table.
    now_ms : float
        Wall time, ms since the epoch.

    Returns
    -------
    Table
        A row for each arm, heaviest first.
    """
    has_shadow = any(message.cause.get("shadow") for message in messages.values())
    table = Table(box=None, pad_edge=False, header_style="bold")
    titles = ["route", "arm", "weight", "labels", "mean", "delay p50/p99", "state", "verdict"]
    titles += ["epoch.seq", "heard", "followers"]
    for title in [*titles, "shadow policies"][: None if has_shadow else -1]:
        right = title in {"weight", "labels", "mean", "epoch.seq", "heard"}
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    for route, message in messages.items():
        heard_s = max(0.0, now_ms - message.issued_at_ms) / 1000
        for at, (arm, weight) in enumerate(sorted(message.weights.items(), key=_by_weight)):
            row = _row(message, arm, weight)
            first = at == 0
            cells = [
                route if first else "",
                *row,
                f"{message.epoch}.{message.seq}" if first else "",
                f"{heard_s:.1f} s ago" if first else "",
                _followers(message, at),
            ]
            if has_shadow:
                shadow = message.cause.get("shadow", {})
                cells.append(" ".join(f"{k}={v.get(arm, 0.0):.3f}" for k, v in shadow.items()))
            table.add_row(*(escape(printable(cell)) for cell in cells))
    return table


def join_table(message: Any) -> Table | None:
    """Return how the join of one route fares, by arm.

    Parameters
    ----------
    message : ControlMessage
        A heartbeat of the route.

    Returns
    -------
    Table or None
        None where nothing is known.
    """
    arms = {
        arm: known["join"]
        for arm, known in message.cause.get("arms", {}).items()
        if known.get("join", {}).get("prediction")
    }
    if not arms:
        return None
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("join", *_JOIN_COLUMNS, "coverage", "waiting", "oldest"):
        table.add_column(title, justify="left" if title == "join" else "right", no_wrap=True)
    totals = message.cause.get("joins", {})
    for arm, known in [*sorted(arms.items()), ("(all)", totals)]:
        coverage, oldest_ms = known.get("coverage"), known.get("oldest_waiting_ms")
        table.add_row(
            escape(printable(arm)),
            *(
                f"{sum(known.get(what, 0) for what in counted):,}"
                for counted in _JOIN_COLUMNS.values()
            ),
            "" if coverage is None else f"{coverage:.1%}",
            f"{known.get('waiting', 0):,}",
            "" if oldest_ms is None else f"{oldest_ms / 1000:,.0f} s",
        )
    orphans = totals.get("nearby_orphan_label", 0)
    if orphans:
        table.caption = f"{orphans:,} labels on the same partitions never met a prediction"
        table.caption_justify = "left"
    return table


def _by_weight(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]


def _row(message: Any, arm: str, weight: float) -> list[str]:
    """Arm, weight, labels, mean, label delay, state and verdict."""
    arms = message.cause.get("arms") or message.cause.get("last_change", {}).get("arms", {})
    known = arms.get(arm, {})
    mean = known.get("mean")
    state = "champion" if arm == message.champion else known.get("phase", "")
    return [
        arm,
        f"{weight:.3f}",
        f"{known['labels']:,}" if "labels" in known else "",
        "" if mean is None else f"{mean:.4f}",
        _delays(known.get("label_delay_ms")),
        "quarantined" if arm in message.quarantined else state,
        known.get("verdict", ""),
    ]


def _delays(quantiles: list[float | None] | None) -> str:
    """Median and 99 % of the time from prediction to label."""
    if quantiles is None or quantiles[0] is None or quantiles[2] is None:
        return ""
    return f"{quantiles[0] / 1000:.3g} / {quantiles[2] / 1000:.3g} s"


def _followers(message: Any, row: int) -> str:
    """Replicas beside the first arm, alarms beside the next ones."""
    following = message.cause.get("following", {})
    replicas, behind = following.get("replicas", 0), following.get("behind", [])
    lines = [f"{replicas - len(behind)} of {replicas} up to date" if replicas else ""]
    lines += following.get("alarms", {})
    return lines[row] if row < len(lines) else ""
