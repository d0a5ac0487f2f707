"""``leverframe watch``."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import config_option, examples, json_option
from leverframe.agents.cli.printable import printable

__all__ = ["watch"]


@click.command(
    epilog=examples(
        "leverframe watch",
        "leverframe watch checkout --json",
        "leverframe watch --last 20 --no-follow",
        "leverframe watch --heartbeats | grep rollback",
    )
)
@click.argument("route", required=False)
@config_option
@json_option
@click.option("--heartbeats", is_flag=True, help="Show heartbeats as well.")
@click.option(
    "--last",
    type=click.IntRange(0),
    default=None,
    help="Of what is kept, only the newest so many; all of it when left out.",
)
@click.option("--follow/--no-follow", default=True, help="Go on with what comes, until Ctrl-C.")
def watch(
    route: str | None,
    config: Path | None,
    *,
    as_json: bool,
    heartbeats: bool,
    last: int | None,
    follow: bool,
) -> None:
    """Show the control stream, of all routes or of ROUTE: what is kept by time, then what comes."""
    from leverframe.agents.settings import load_settings
    from leverframe.schemas.codec import encode

    settings = load_settings(config)

    def is_shown(message: Any) -> bool:
        return route in {None, message.route} and (heartbeats or message.kind != "heartbeat")

    async def show() -> None:
        async for message in _messages(settings, is_shown, last, follow=follow):
            click.echo(printable(encode(message).decode() if as_json else line(message)))

    with contextlib.suppress(KeyboardInterrupt):
        run_connected(settings, [settings.topic_names.control], show)


async def _messages(
    settings: Any, is_shown: Callable[[Any], bool], last: int | None, *, follow: bool
) -> AsyncIterator[Any]:
    """Those that are kept, in the order of their times, then those that come, as they come."""
    from leverframe.agents.operator.control import subscriber

    heard: asyncio.Queue[Any] = asyncio.Queue()
    async with subscriber(settings, on_routing=heard.put_nowait):
        # Caught up: partitions came in turns, and nothing in the queue is newer than now.
        kept = [message for _ in range(heard.qsize()) if is_shown(message := heard.get_nowait())]
        kept.sort(key=lambda each: (each.issued_at_ms, each.route, each.epoch, each.seq))
        for message in kept if last is None else kept[len(kept) - min(last, len(kept)) :]:
            yield message
        while follow:
            if is_shown(message := await heard.get()):
                yield message


def line(message: Any) -> str:
    """Return a control message as a line: time, route, epoch and seq, kind, weights and why."""
    from leverframe.agents.operator.narrate import why

    at = datetime.fromtimestamp(message.issued_at_ms / 1000, tz=UTC).strftime("%H:%M:%S.%f")[:-3]
    weights = " ".join(f"{arm}={share:.3f}" for arm, share in message.weights.items())
    version = f"{message.epoch}.{message.seq}"
    return f"{at} {message.route} {version} {message.kind:9} {weights} | {why(message)}"
