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
    """Return one control message as a line for people.

    Parameters
    ----------
    message : ControlMessage
        Any.

    Returns
    -------
    str
        Time, route, epoch and seq, kind, weights and why.
    """
    at = datetime.fromtimestamp(message.issued_at_ms / 1000, tz=UTC).strftime("%H:%M:%S.%f")[:-3]
    weights = " ".join(f"{arm}={share:.3f}" for arm, share in message.weights.items())
    cause = message.cause
    why = str(cause.get("why", ""))
    if why == "guard":
        why = f"guard: {cause['arm']} has mean {cause['mean']:.3f} of {cause['labels']} labels, "
        if "compared_with" in cause:
            beside = f"{cause['reference_mean']:.3f} of {cause['reference_labels']}"
            why += f"{cause['compared_with']} {beside}"
        else:
            why += f"the floor is {cause['reward_floor']:.3f}"
    elif why == "command":
        why = f"command {cause['action']} by {cause['actor']}"
    elif "arm" in cause:
        why = f"{why}: {cause['arm']}"
    return f"{at} {message.route} {message.epoch}.{message.seq} {message.kind:9} {weights} | {why}"
