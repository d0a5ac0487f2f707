"""The demo's live view of the terminal, and its plain form for logs."""

from collections import deque
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from leverframe.agents.cli.watch import line
from leverframe.experiments.demo.models import ARMS
from leverframe.experiments.demo.observer import Observer
from leverframe.schemas.control import ControlMessage

__all__ = ["PlainView", "TerminalView", "make_view"]

_BAR: Final = 40
_EVENTS: Final = 8
_STYLES: Final = {"logistic-v1": "blue", "bayes-v1": "bright_black", "forest-v2": "yellow"}


class PlainView:
    """Lines, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = 0
        self._last_health_s = -10.0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def say(self, text: str) -> None:
        """Print what the demo does now."""
        self._console.print(f"==> {text}", highlight=False, soft_wrap=True)

    def refresh(self, observer: Observer) -> None:
        """Print what is new: messages that moved something, and the join's health now and then."""
        for _, message in observer.messages[self._shown :]:
            if message.kind != "heartbeat" and _is_news(message):
                self._console.print(line(message), highlight=False, soft_wrap=True)
        self._shown = len(observer.messages)
        if observer.now_s - self._last_health_s >= 5:
            self._last_health_s = observer.now_s
            self._console.print(f"    {_health(observer)}", highlight=False, soft_wrap=True)


def _is_news(message: ControlMessage) -> bool:
    """Small moves of the policy come many times a second; show every twentieth of them."""
    return message.cause.get("why") != "policy" or message.seq % 20 == 0


class TerminalView:
    """Weights as bars, rewards, health and the latest events, redrawn four times a second."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, transient=False)
        self._events: deque[str] = deque(maxlen=_EVENTS)
        self._shown = 0

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture on the screen."""
        self._live.stop()

    def say(self, text: str) -> None:
        """Show what the demo does now."""
        self._events.append(f"[bold]==> {text}[/bold]")
        self._draw(None)

    def refresh(self, observer: Observer) -> None:
        """Draw anew."""
        for _, message in observer.messages[self._shown :]:
            if message.kind != "heartbeat" and message.cause.get("why") != "policy":
                style = "red" if message.kind == "rollback" else "green"
                self._events.append(f"[{style}]{line(message)}[/{style}]")
        self._shown = len(observer.messages)
        self._draw(observer)

    def _draw(self, observer: Observer | None) -> None:
        events = Panel(
            Text.from_markup("\n".join(self._events), overflow="ellipsis"), title="events"
        )
        if observer is None:
            self._live.update(events)
            return
        health = Panel(Text(_health(observer)), title="join health")
        self._live.update(Group(_arms(observer), health, events))


def _arms(observer: Observer) -> Table:
    table = Table(title=f"Leverframe demo, {observer.now_s:.0f} s", expand=True)
    table.add_column("arm", no_wrap=True)
    table.add_column("traffic", no_wrap=True)
    table.add_column("", justify="right")
    table.add_column("mean of last 200 rewards", justify="right")
    table.add_column("state")
    newest = observer.newest
    for arm in ARMS:
        weight = observer.weights.get(arm, 0.0)
        recent = observer.recent.get(arm)
        mean = f"{sum(recent) / len(recent):.3f}" if recent else "-"
        state = ""
        if newest is not None:
            is_beside = arm in newest.shadow_arms and not weight
            state = "in shadow" if is_beside else state
            state = "champion" if newest.champion == arm else state
            state = "[red]quarantined[/red]" if arm in newest.quarantined else state
        bar = "█" * round(weight * _BAR)
        table.add_row(arm, Text(bar.ljust(_BAR), style=_STYLES[arm]), f"{weight:.1%}", mean, state)
    return table


def _health(observer: Observer) -> str:
    health = observer.health
    if not health:
        return "waiting for the first figures"
    return (
        f"predictions {health['predictions']:,}  labels {health['labels']:,}  "
        f"rewards {health['rewards']:,}  waiting {health['waiting']:,}  "
        f"lag {health['lag']:,}  dead letters {health['dead_letters']:,}"
    )


def make_view(*, tty: bool) -> Any:
    """Return the view that fits the terminal."""
    console = Console()
    return TerminalView(console) if tty and console.is_terminal else PlainView(console)
