"""``leverframe status``."""

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from agents.cli.options import config_option, json_option
from agents.cli.showing import printable

__all__ = ["status"]

_JOIN_COLUMNS = {
    "predictions": ("prediction",),
    "labels": ("label",),
    "twice": ("duplicate_prediction", "duplicate_label"),
    "revised": ("revision", "withdrawal"),
    "late": ("late_prediction", "late_label"),
    "defaults": ("expiry",),
    "orphans": ("orphan_prediction",),
}


@click.command()
@click.argument("route", required=False)
@config_option
@json_option
def status(route: str | None, config: Path | None, *, as_json: bool) -> None:
    """Show weights, labels and mean rewards, of all routes or of ROUTE.

    \b
    Examples:
      leverframe status
      leverframe status checkout --json
    """  # noqa: D301 - click wants the character
    from agents.cli.following import newest_messages
    from agents.settings import load_settings
    from schemas.codec import encode
    from schemas.errors import LeverframeError

    messages = asyncio.run(newest_messages(load_settings(config)))
    if route is not None:
        if route not in messages:
            known = ", ".join(messages) or "none yet"
            raise LeverframeError(f"nothing was ever published for route {route!r}; known: {known}")
        messages = {route: messages[route]}
    if as_json:
        click.echo(printable(f"[{','.join(encode(m).decode() for m in messages.values())}]"))
        return
    if not messages:
        click.echo("no route yet: nothing was rewarded or registered")
        return
    _table(messages)
    if route is not None:
        _join(messages[route])


def _table(messages: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    now_ms = time.time() * 1000
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
    # Nothing is cut where nobody looks at a terminal's edge.
    is_terminal = Console().is_terminal
    Console(highlight=False, width=None if is_terminal else 240).print(table)


def _join(message: Any) -> None:
    """How the join of one route fares, by arm."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    arms = {
        arm: known["join"]
        for arm, known in message.cause.get("arms", {}).items()
        if known.get("join", {}).get("prediction")
    }
    if not arms:
        return
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
    console = Console(highlight=False, width=None if Console().is_terminal else 240)
    console.print()
    console.print(table)
    orphans = totals.get("nearby_orphan_label", 0)
    if orphans:
        console.print(f"{orphans:,} labels on the same partitions never met a prediction")


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
