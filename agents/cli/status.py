"""``leverframe status``."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any, Final

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import config_option, examples, json_option
from leverframe.agents.cli.printable import printable

__all__ = ["status"]

_REDRAW_S: Final = 0.25


@click.command(
    epilog=examples(
        "leverframe status",
        "leverframe status checkout --json",
        "leverframe status --follow",
    )
)
@click.argument("route", required=False)
@click.option("--follow", is_flag=True, help="Stay, and show what changes, until Ctrl-C.")
@config_option
@json_option
def status(route: str | None, config: Path | None, *, as_json: bool, follow: bool) -> None:
    """Show weights, labels and mean rewards, of all routes or of ROUTE.

    With --follow the table is drawn anew as messages come; with --json too, each message is a line.
    """
    from leverframe.agents.settings import load_settings

    settings = load_settings(config)
    wanted = [settings.topic_names.control]
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            run_connected(settings, wanted, lambda: _follow(settings, route, as_json=as_json))
        return
    messages = _of_route(run_connected(settings, wanted, lambda: _newest(settings)), route)
    if as_json:
        click.echo(f"[{','.join(_json(message) for message in messages.values())}]")
    else:
        _console().print(_drawn(messages, route))


async def _newest(settings: Any) -> dict[str, Any]:
    from leverframe.agents.operator.control import newest_messages

    return await newest_messages(settings)


def _of_route(messages: dict[str, Any], route: str | None) -> dict[str, Any]:
    from leverframe.schemas.errors import LeverframeError

    if route is None:
        return messages
    if route not in messages:
        known = ", ".join(messages) or "none yet"
        raise LeverframeError(f"nothing was ever published for route {route!r}; known: {known}")
    return {route: messages[route]}


async def _follow(settings: Any, route: str | None, *, as_json: bool) -> None:
    from leverframe.agents.operator.control import subscriber

    messages = _of_route(await _newest(settings), route)
    heard: asyncio.Queue[Any] = asyncio.Queue()

    def hear(message: Any) -> None:
        if is_caught_up and route in {None, message.route}:
            heard.put_nowait(message)

    is_caught_up = False
    async with subscriber(settings, on_routing=hear):
        is_caught_up = True
        if as_json:
            for message in messages.values():
                click.echo(_json(message))
            while True:
                click.echo(_json(await heard.get()))
        await _draw(messages, route, heard)


async def _draw(messages: dict[str, Any], route: str | None, heard: asyncio.Queue[Any]) -> None:
    """Draw at most four times a second; where nobody looks, print the table when it changed."""
    from rich.live import Live

    console = _console()
    # Where nobody looks, Live would print the last table alone.
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    with live or contextlib.nullcontext():
        while True:
            drawn = _drawn(dict(sorted(messages.items())), route)
            if live is None:
                console.print(drawn)
            else:
                live.update(drawn, refresh=True)
            await asyncio.sleep(_REDRAW_S)
            with contextlib.suppress(TimeoutError):
                message = await asyncio.wait_for(heard.get(), None if live is None else 1.0)
                messages[message.route] = message
            while not heard.empty():
                message = heard.get_nowait()
                messages[message.route] = message


def _drawn(messages: dict[str, Any], route: str | None) -> Any:
    from rich.console import Group

    from leverframe.agents.cli.route_table import join_table, routes_table

    if not messages:
        return "no route yet: nothing was rewarded or registered"
    table = routes_table(messages, time.time() * 1000)
    join = None if route is None else join_table(messages[route])
    return table if join is None else Group(table, "", join)


def _console() -> Any:
    from rich.console import Console

    # Nothing is cut where nobody looks at a terminal's edge.
    return Console(highlight=False, width=None if Console().is_terminal else 240)


def _json(message: Any) -> str:
    from leverframe.schemas.codec import encode

    return printable(encode(message).decode())
