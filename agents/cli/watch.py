"""``leverframe watch``."""

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.options import config_option, examples, json_option
from leverframe.agents.cli.printable import printable

__all__ = ["watch"]


@click.command(
    epilog=examples(
        "leverframe watch",
        "leverframe watch checkout --json",
        "leverframe watch --heartbeats | grep rollback",
    )
)
@click.argument("route", required=False)
@config_option
@json_option
@click.option("--heartbeats", is_flag=True, help="Show heartbeats as well.")
def watch(route: str | None, config: Path | None, *, as_json: bool, heartbeats: bool) -> None:
    """Follow the control stream, of all routes or of ROUTE, until Ctrl-C."""
    from leverframe.agents.operator.control import subscriber
    from leverframe.agents.settings import load_settings
    from leverframe.schemas.codec import encode

    def show(message: Any) -> None:
        if route not in {None, message.route} or (message.kind == "heartbeat" and not heartbeats):
            return
        click.echo(printable(encode(message).decode() if as_json else line(message)))

    async def follow() -> None:
        async with subscriber(load_settings(config), on_routing=show):
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(follow())


def line(message: Any) -> str:
    """Return a control message as a line: time, route, epoch and seq, kind, weights and why."""
    from leverframe.agents.operator.narrate import why

    at = datetime.fromtimestamp(message.issued_at_ms / 1000, tz=UTC).strftime("%H:%M:%S.%f")[:-3]
    weights = " ".join(f"{arm}={share:.3f}" for arm, share in message.weights.items())
    version = f"{message.epoch}.{message.seq}"
    return f"{at} {message.route} {version} {message.kind:9} {weights} | {why(message)}"
