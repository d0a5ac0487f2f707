"""Routes as tables for people."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rich.markup import escape
from rich.table import Table

from leverframe.agents.cli.printable import printable

__all__ = ["arms_of", "join_table", "routes_table", "standing_lines"]

_JOIN_COLUMNS = {
    "predictions": ("prediction",),
    "labels": ("label",),
    "twice": ("duplicate_prediction", "duplicate_label"),
    "revised": ("revision", "withdrawal"),
    "late": ("late_prediction", "late_label"),
    "defaults": ("expiry",),
    "orphans": ("orphan_prediction",),
}


def routes_table(
    messages: Mapping[str, Any], now_ms: float, evidence: Mapping[str, Any] = MappingProxyType({})
) -> Table:
    """Return a row for each arm of some routes, heaviest first.

    ``messages`` are the newest of each route; ``evidence`` those that last said what is known of
    the arms, since a command's message does not.
    """
    has_shadow = any(message.cause.get("shadow") for message in messages.values())
    table = Table(box=None, pad_edge=False, header_style="bold")
    titles = ["route", "arm", "weight", "labels", "mean", "of late", "delay p50/p99", "state"]
    titles += ["verdict", "evidence", "epoch.seq", "heard", "followers"]
    for title in [*titles, "shadow policies"][: None if has_shadow else -1]:
        right = title in {"weight", "labels", "mean", "of late", "evidence", "epoch.seq", "heard"}
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    for route, message in messages.items():
        told = evidence.get(route, message)
        for at, (arm, weight) in enumerate(sorted(message.weights.items(), key=_by_weight)):
            row = _row(message, told, arm, weight)
            first = at == 0
            cells = [
                route if first else "",
                *row,
                _age(told.issued_at_ms, now_ms) if first and arms_of(told) else "",
                f"{message.epoch}.{message.seq}" if first else "",
                _age(message.issued_at_ms, now_ms) if first else "",
                _followers(message, at),
            ]
            if has_shadow:
                shadow = message.cause.get("shadow", {})
                cells.append(" ".join(f"{k}={v.get(arm, 0.0):.3f}" for k, v in shadow.items()))
            table.add_row(*(escape(printable(cell)) for cell in cells))
    return table


def standing_lines(standing: Any, now_ms: float) -> list[str]:
    """Say which policy is in force and why it is, and when a replica was last heard."""
    policy = standing.policy
    lines = []
    if policy is not None:
        where = "by command" if policy.by_command else "from the settings"
        lines.append(f"policy {_named(policy.name, policy.params)}, {where}")
        if policy.differs:
            lines[-1] += f"; the settings say {_named(*policy.written)}"
    if standing.acked_at_ms is None:
        lines.append("no replica has acknowledged anything that is kept")
    else:
        age = _age(standing.acked_at_ms, now_ms)
        lines.append(f"last acknowledgement {age}, by {standing.acked_by}")
    return [escape(printable(line)) for line in lines]


def _named(name: str, params: Mapping[str, Any]) -> str:
    told = ", ".join(f"{key} = {value!r}" for key, value in params.items())
    return f"{name} ({told})" if told else name


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
    told = []
    if orphans := totals.get("nearby_orphan_label", 0):
        told.append(f"{orphans:,} labels on the same partitions never met a prediction")
    if over := totals.get("over_quota", 0):
        told.append(f"{over:,} requests beyond max_requests_per_s were not counted")
    if told:
        table.caption, table.caption_justify = "\n".join(told), "left"
    return table


def _by_weight(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]


def _row(message: Any, evidence: Any, arm: str, weight: float) -> list[str]:
    """Arm, weight, labels, their mean, that of late, label delay, state and verdict."""
    known = arms_of(evidence).get(arm, {})
    mean = known.get("mean")
    state = "champion" if arm == message.champion else known.get("phase", "")
    if _suspect(evidence.cause) == arm:
        state += ", on probation"
    ramp = evidence.cause.get("ramp") or {}
    if ramp.get("arm") == arm:
        state += f", ramp {ramp['at']}/{len(ramp['steps'])}"
    return [
        arm,
        f"{weight:.3f}",
        f"{known['labels']:,}" if "labels" in known else "",
        "" if mean is None else f"{mean:.4f}",
        _recent(known.get("recent")),
        _delays(known.get("label_delay_ms")),
        "quarantined" if arm in message.quarantined else state,
        known.get("verdict", ""),
    ]


def _suspect(cause: Mapping[str, Any]) -> str | None:
    """The arm on probation, as a heartbeat or the message that began it tells."""
    told = cause if cause.get("step") == "begun" else cause.get("probation") or {}
    return told.get("arm")


def arms_of(message: Any) -> dict[str, Any]:
    """Return what a message knows of each arm, by its name."""
    arms: dict[str, Any] = message.cause.get("arms") or {}
    return arms or message.cause.get("last_change", {}).get("arms", {})


def _age(at_ms: float, now_ms: float) -> str:
    """How long ago, in a unit that keeps it readable."""
    seconds = max(0.0, now_ms - at_ms) / 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit} ago"
    return f"{seconds:.1f} s ago"


def _recent(known: Mapping[str, Any] | None) -> str:
    """Mean of the newest labels, and how many they are."""
    return "" if known is None else f"{known['mean']:.4f} of {known['labels']:,}"


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
