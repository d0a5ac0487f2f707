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

    Of ROUTE also the policy in force and where it comes from, the last acknowledgement, the join.

    With --follow the table is drawn anew as messages come; with --json too, each message is a line.
    """
    from leverframe.agents.settings import load_settings

    settings = load_settings(config)
    topics = settings.topic_names
    wanted = [topics.control]
    if route is not None:
        wanted += [topics.control_acks, topics.learning_changelog]
    is_one = route is not None
    board = _Board(settings, route)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            run_connected(settings, wanted, lambda: _follow(board, as_json=as_json), counted=is_one)
        return
    run_connected(settings, wanted, board.read, counted=is_one)
    if as_json:
        click.echo(f"[{','.join(_json(message) for message in board.messages.values())}]")
    else:
        _console().print(board.drawn())


class _Board:
    """The newest message of each route, and the newest that carried evidence."""

    def __init__(self, settings: Any, route: str | None) -> None:
        self.settings = settings
        self._route = route
        self._standing: Any = None
        self._evidence: dict[str, Any] = {}
        self.messages: dict[str, Any] = {}

    async def read(self) -> None:
        """Read what is kept; an error if nothing ever was of the route that is asked for."""
        from leverframe.agents.operator.control import newest_messages
        from leverframe.agents.operator.standing import standing_of
        from leverframe.schemas.errors import LeverframeError

        newest = await newest_messages(self.settings, self.note)
        if self._route is not None and self._route not in newest:
            known = ", ".join(newest) or "none yet"
            raise LeverframeError(
                f"nothing was ever published for route {self._route!r}; known: {known}"
            )
        self.messages = {name: newest[name] for name in newest if self.is_shown(newest[name])}
        if self._route is not None:
            self._standing = await standing_of(self.settings, self._route)

    def is_shown(self, message: Any) -> bool:
        """Whether a message is of the route that is asked for, if one is."""
        return self._route in {None, message.route}

    def note(self, message: Any) -> None:
        """Take a message in."""
        if self.is_shown(message):
            self.messages[message.route] = message
            if message.cause.get("arms"):
                self._evidence[message.route] = message

    def drawn(self) -> Any:
        """Return what is shown."""
        from rich.console import Group

        from leverframe.agents.cli.route_table import join_table, routes_table, standing_lines

        if not self.messages:
            return "no route yet: nothing was rewarded or registered"
        now_ms = time.time() * 1000
        shown = dict(sorted(self.messages.items()))
        parts: list[Any] = [routes_table(shown, now_ms, self._evidence)]
        if self._route is not None:
            parts += ["", *standing_lines(self._standing, now_ms)]
            evidence = self._evidence.get(self._route, shown[self._route])
            if (join := join_table(evidence)) is not None:
                parts += ["", join]
        lines = [line for told in shown.values() for line in self._beside(told)]
        parts += ["", *lines] if lines else []
        return Group(*parts)

    def _beside(self, message: Any) -> list[str]:
        from rich.markup import escape

        from leverframe.agents.cli.route_table import arms_of
        from leverframe.agents.operator.beforehand import prior_lines
        from leverframe.agents.operator.in_measured import measured_lines
        from leverframe.agents.operator.in_shadow import shadow_lines
        from leverframe.agents.operator.narrate import proposal_text, ramp_text

        evidence = self._evidence.get(message.route, message)
        arms = arms_of(evidence)
        lead = "" if self._route is not None else f"{message.route}: "
        lines = [*shadow_lines(arms), *prior_lines(arms), *measured_lines(arms)]
        if ramp := evidence.cause.get("ramp"):
            lines.insert(0, ramp_text(ramp))
        if proposal := evidence.cause.get("proposal"):
            lines.insert(0, proposal_text(proposal))
        return [escape(printable(f"{lead}{line}")) for line in lines]


async def _follow(board: _Board, *, as_json: bool) -> None:
    from leverframe.agents.operator.control import subscriber

    await board.read()
    heard: asyncio.Queue[Any] = asyncio.Queue()

    def hear(message: Any) -> None:
        if is_caught_up and board.is_shown(message):
            heard.put_nowait(message)

    is_caught_up = False
    async with subscriber(board.settings, on_routing=hear):
        is_caught_up = True
        if as_json:
            for message in board.messages.values():
                click.echo(_json(message))
            while True:
                click.echo(_json(await heard.get()))
        await _draw(board, heard)


async def _draw(board: _Board, heard: asyncio.Queue[Any]) -> None:
    """Draw at most four times a second; where nobody looks, print the table when it changed."""
    from rich.live import Live

    console = _console()
    # Where nobody looks, Live would print the last table alone.
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    with live or contextlib.nullcontext():
        while True:
            drawn = board.drawn()
            if live is None:
                console.print(drawn)
            else:
                live.update(drawn, refresh=True)
            await asyncio.sleep(_REDRAW_S)
            with contextlib.suppress(TimeoutError):
                board.note(await asyncio.wait_for(heard.get(), None if live is None else 1.0))
            while not heard.empty():
                board.note(heard.get_nowait())


def _console() -> Any:
    from rich.console import Console

    # Nothing is cut where nobody looks at a terminal's edge.
    return Console(highlight=False, width=None if Console().is_terminal else 240)


def _json(message: Any) -> str:
    from leverframe.schemas.codec import encode

    return printable(encode(message).decode())
