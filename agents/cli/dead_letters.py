"""``leverframe dead-letters list|show|redrive``."""

import base64
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import GuessingGroup, config_option, examples, json_option
from leverframe.agents.cli.printable import printable
from leverframe.agents.cli.times import TIME, begin_ms
from leverframe.schemas.dead_letter import REASONS
from leverframe.schemas.errors import LeverframeError

__all__ = ["dead_letters"]

_SHOWN_KEY: Final = 40


class _Place(click.ParamType):
    """Partition and offset of a dead letter."""

    name = "place"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return both as numbers."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,9}):(\d{1,18})", value, re.ASCII)
        if found is None:
            self.fail(f"{value!r} is no place; as the list shows it: 0:17", param, ctx)
        return int(found[1]), int(found[2])


def _chosen(command: Callable[..., None]) -> Callable[..., None]:
    """Options that choose among dead letters."""
    for option in (
        click.option("--until", type=TIME, help="Set aside up to then; as for --since."),
        click.option(
            "--since",
            type=TIME,
            help="Set aside from then on: ISO time (UTC unless it says), a time of today, or ms.",
        ),
        click.option("--topic", help="Came from this topic, by its full name."),
        click.option(
            "--reason",
            type=click.Choice(REASONS),
            metavar="REASON",
            help="Of one reason, such as unknown_route; docs/wire.md lists them.",
        ),
    ):
        command = option(command)
    return command


@click.group(name="dead-letters", cls=GuessingGroup)
def dead_letters() -> None:
    """List, show and put back what was set aside."""


@dead_letters.command(
    name="list",
    epilog=examples(
        "leverframe dead-letters list",
        "leverframe dead-letters list --reason unknown_route --since 14:00:00 --last 100",
        "leverframe dead-letters list --json",
    ),
)
@_chosen
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="The newest.")
@config_option
@json_option
def list_letters(config: Path | None, *, as_json: bool, last: int, **chosen: Any) -> None:
    """Show the newest dead letters, oldest first, a line each.

    When it was set aside, its place (for show and redrive), the reason, where the record lay (topic
    partition:offset), its key and what is wrong with it.
    """
    from leverframe.agents.settings import load_settings

    letters = _found(load_settings(config), chosen, last)
    if as_json:
        click.echo(f"[{','.join(_json(letter) for letter in letters)}]")
        return
    for letter in letters:
        click.echo(_line(letter))
    if not letters:
        click.echo("no dead letter" + (" is like that" if any(chosen.values()) else ""), err=True)


@dead_letters.command(
    epilog=examples("leverframe dead-letters show 0:17", "leverframe dead-letters show 0:17 --json")
)
@click.argument("place", type=_Place())
@config_option
@json_option
def show(place: tuple[int, int], config: Path | None, *, as_json: bool) -> None:
    """Show the whole dead letter at PLACE; bytes that a terminal could obey are escaped."""
    from leverframe.agents.settings import load_settings

    letter = _at(load_settings(config), [place])[0]
    if as_json:
        click.echo(_json(letter))
        return
    came = f"{letter.topic} {letter.partition}:{letter.offset}"
    size = len(letter.value or b"")
    cut = f", cut from {letter.truncated:,}" if letter.truncated else ""
    for name, text in (
        ("place", str(letter.place)),
        ("set aside", _time(letter.set_aside_at_ms)),
        ("reason", letter.reason),
        ("detail", letter.detail),
        *([("source", letter.source), ("path", letter.path)] if letter.source else []),
        ("came from", came),
        ("record time", _time(letter.timestamp_ms)),
        ("key", _text(letter.key)),
        ("value", f"{size:,} bytes{cut}" if letter.value is not None else "none"),
    ):
        click.echo(printable(f"{name:12} {text}"))
    if letter.value:
        click.echo(_text(letter.value))


@dead_letters.command(
    epilog=examples(
        "leverframe dead-letters redrive 0:17 1:4",
        "leverframe dead-letters redrive --reason unknown_route --since 14:00:00 --yes",
    )
)
@click.argument("places", metavar="[PLACE]...", nargs=-1, type=_Place())
@_chosen
@click.option("--now", is_flag=True, help="Give them the present as record time, not their own.")
@click.option("--again", is_flag=True, help="Those too that were put back before.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
def redrive(
    places: Sequence[tuple[int, int]],
    config: Path | None,
    *,
    as_json: bool,
    now: bool,
    yes: bool,
    again: bool,
    **chosen: Any,
) -> None:
    """Send dead letters, at each PLACE or chosen by options, back to the topics they came from.

    Once the cause is mended: with their own key, value and record time, into the partition that
    murmur2 names; a source's record is mapped anew, by the settings as they are now. Each is put
    back once. Those that were cut, have no key, cannot be mapped, or came from a topic that only
    the job writes to are left and named; then the exit code is 1. The letter itself stays.
    """
    from leverframe.agents.operator.redrive import Redriven, why_not
    from leverframe.agents.settings import load_settings

    if bool(places) == any(chosen.values()):
        raise click.UsageError("name places, or choose by --reason, --topic, --since, --until")
    settings = load_settings(config)
    letters = _at(settings, places) if places else _found(settings, chosen, None)
    if not places and not again:
        # Chosen by reason or time: what was put back before is not meant.
        letters = [letter for letter in letters if not letter.is_redriven]
    refused = {letter.place: why for letter in letters if (why := why_not(settings, letter))}
    good = [letter for letter in letters if letter.place not in refused]
    done = Redriven()
    if good and _is_wanted(settings, good, now=now, yes=yes or as_json):
        done = _put_back(settings, good, now=now, again=again)
    refused |= done.left
    for place, why in refused.items():
        click.echo(printable(f"{place} stays: {why}"), err=True)
    if as_json:
        click.echo(_told(done.sent, refused))
    else:
        for one in done.sent:
            click.echo(printable(f"{one.letter.place} -> {one.topic} {one.partition}:{one.offset}"))
        passed = f", {len(done.passed_over)} of them passed over" if done.passed_over else ""
        click.echo(f"{done.count} put back{passed}, {len(refused)} left", err=True)
    if refused or done.count < len(good):
        raise SystemExit(1)


def _put_back(settings: Any, letters: Sequence[Any], *, now: bool, again: bool) -> Any:
    from leverframe.agents.operator.redrive import put_back

    topics = {letter.topic for letter in letters} | {settings.topic_names.dead_letters}
    return run_connected(
        settings, sorted(topics), lambda: put_back(settings, letters, stamp=now, again=again)
    )


def _is_wanted(settings: Any, letters: Sequence[Any], *, now: bool, yes: bool) -> bool:
    """Say what is about to happen, and ask whether it shall."""
    from leverframe.agents.operator.dead_letters import older_than_window

    late = 0 if now else older_than_window(settings, letters, time.time_ns() // 1_000_000)
    if late:
        click.echo(
            f"{late} of them are older than the longest window and will only count as late; --now "
            "gives them the present as record time",
            err=True,
        )
    topics = sorted({letter.topic for letter in letters})
    question = f"Put {len(letters)} back to {', '.join(topics)}?"
    return yes or click.confirm(printable(question), err=True)


def _found(settings: Any, chosen: dict[str, Any], last: int | None) -> list[Any]:
    from leverframe.agents.operator.dead_letters import newest_letters

    reason, topic, since, until = (chosen[name] for name in ("reason", "topic", "since", "until"))
    begin = begin_ms(since)

    def is_wanted(letter: Any) -> bool:
        at = letter.set_aside_at_ms
        return (
            reason in {None, letter.reason}
            and topic in {None, letter.topic}
            and begin <= at
            and (until is None or at <= until)
        )

    def read() -> Any:
        return newest_letters(settings, settings.topics.route_partitions, is_wanted, last)

    letters: list[Any] = run_connected(
        settings, [settings.topic_names.dead_letters], read, counted=True
    )
    return letters


def _at(settings: Any, places: Sequence[tuple[int, int]]) -> list[Any]:
    from leverframe.agents.operator.dead_letters import Place, read_letter

    async def read() -> list[Any]:
        count = settings.topics.route_partitions
        return [await read_letter(settings, Place(*place), count) for place in places]

    found = run_connected(settings, [settings.topic_names.dead_letters], read, counted=True)
    gone = [str(Place(*place)) for place, one in zip(places, found, strict=True) if one is None]
    if gone:
        raise LeverframeError(
            f"no dead letter lies at {', '.join(gone)}; those that are kept: "
            "leverframe dead-letters list"
        )
    return found


def _line(letter: Any) -> str:
    came = f"{letter.topic} {letter.partition}:{letter.offset}"
    key = _text(letter.key)
    shown = key if len(key) <= _SHOWN_KEY else key[: _SHOWN_KEY - 3] + "..."
    cut = f" (cut from {letter.truncated:,} bytes)" if letter.truncated else ""
    back = " (put back)" if letter.is_redriven else ""
    text = f"{_time(letter.set_aside_at_ms)} {letter.place} {letter.reason or '?'} from {came}"
    return printable(f"{text} key {shown}: {letter.detail}{cut}{back}".replace("\n", " "))


def _json(letter: Any) -> str:
    import orjson
    from msgspec import structs

    told = structs.asdict(letter)
    told["place"] = str(letter.place)
    told["key"] = None if letter.key is None else _text(letter.key)
    told["headers"] = {name: _text(value) for name, value in letter.headers}
    raw = told.pop("value")
    try:
        told["value"] = None if raw is None else raw.decode()
    except UnicodeDecodeError:
        told["value_base64"] = base64.b64encode(raw).decode()
    return printable(orjson.dumps(told).decode())


def _told(sent: Sequence[Any], refused: dict[Any, str]) -> str:
    import orjson

    put = [
        {
            "place": str(one.letter.place),
            "topic": one.topic,
            "partition": one.partition,
            "offset": one.offset,
        }
        for one in sent
    ]
    left = [{"place": str(place), "why": why} for place, why in refused.items()]
    return printable(orjson.dumps({"sent": put, "left": left}).decode())


def _text(raw: bytes | None) -> str:
    return "none" if raw is None else printable(raw.decode("utf-8", "backslashreplace"))


def _time(ms: int) -> str:
    if ms < 0:
        return "unknown"
    try:
        at = datetime.fromtimestamp(ms / 1000, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
