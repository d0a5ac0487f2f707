"""``leverframe status``."""

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from agents.cli.options import config_option, json_option

__all__ = ["status"]


@click.command()
@click.argument("route", required=False)
@config_option
@json_option
def status(route: str | None, config: Path | None, *, as_json: bool) -> None:
    r"""Show weights, labels and mean rewards, of all routes or of ROUTE.

    \b
    Examples:
      leverframe status
      leverframe status checkout --json
    """
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
        click.echo(b"[" + b",".join(encode(message) for message in messages.values()) + b"]")
        return
    if not messages:
        click.echo("no route yet: nothing was rewarded or registered")
        return
    _table(messages)


def _table(messages: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    now_ms = time.time() * 1000
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (
        ("route", "left"), ("arm", "left"), ("weight", "right"), ("shadow policies", "left"),
        ("labels", "right"), ("mean", "right"), ("state", "left"), ("epoch.seq", "right"),
        ("heard", "right"),
    ):  # fmt: skip
        table.add_column(title, justify=justify)  # type: ignore[arg-type] # a literal
    for route, message in messages.items():
        arms = message.cause.get("arms") or message.cause.get("last_change", {}).get("arms", {})
        first = True
        shadow = message.cause.get("shadow", {})
        for arm, weight in sorted(message.weights.items(), key=lambda item: -item[1]):
            known = arms.get(arm, {})
            mean = known.get("mean")
            phase = "champion" if arm == message.champion else known.get("phase", "")
            table.add_row(
                route if first else "",
                arm,
                f"{weight:.3f}",
                " ".join(
                    f"{policy}={shares.get(arm, 0.0):.3f}" for policy, shares in shadow.items()
                ),
                f"{known['labels']:,}" if "labels" in known else "",
                "" if mean is None else f"{mean:.4f}",
                "quarantined" if arm in message.quarantined else phase,
                f"{message.epoch}.{message.seq}" if first else "",
                f"{max(0.0, now_ms - message.issued_at_ms) / 1000:.1f} s ago" if first else "",
            )
            first = False
    Console(highlight=False).print(table)
