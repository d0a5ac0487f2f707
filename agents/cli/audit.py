"""``leverframe audit``."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import config_option, examples, json_option
from leverframe.agents.cli.printable import printable
from leverframe.agents.cli.times import TIME, begin_ms

__all__ = ["audit"]


@click.command(
    epilog=examples(
        "leverframe audit",
        "leverframe audit checkout --since 2026-05-01T00:00:00 --actor ada",
        "leverframe audit --since 14:00:00 --csv audit.csv",
        "leverframe audit --json | grep refused",
    )
)
@click.argument("route", required=False)
@click.option(
    "--since",
    type=TIME,
    help="From then on: ISO time (UTC unless it says), a time of today, or ms.",
)
@click.option("--until", type=TIME, help="Up to then; as for --since.")
@click.option("--actor", help="Of one actor alone; leverframe is the job itself.")
@click.option("--last", type=click.IntRange(1), help="The newest so many; all when left out.")
@click.option(
    "--csv",
    "file",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write a table to this file; - is standard output.",
)
@config_option
@json_option
def audit(
    route: str | None,
    since: int | None,
    until: int | None,
    actor: str | None,
    last: int | None,
    file: str | None,
    config: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show who did what, of all routes or of ROUTE, oldest first, a line each.

    Every command with its actor, done or refused; verdicts, rollbacks, promotions, proposals,
    probations and steps of ramps with their evidence. When, the route, epoch and seq of the control
    message, what it is, who did it (signed, where that is proved), and what happened.
    """
    from leverframe.agents.operator.audit import read_audit
    from leverframe.agents.settings import load_settings

    if as_json and file is not None:
        raise click.UsageError("--json or --csv, not both")
    settings = load_settings(config)

    def is_wanted(event: Any) -> bool:
        return actor in {None, event.actor} and (until is None or event.at_ms <= until)

    read = run_connected(
        settings,
        [settings.topic_names.audit],
        lambda: read_audit(settings, route, begin_ms(since), is_wanted),
        counted=True,
    )
    events = read.events if last is None else read.events[max(0, len(read.events) - last) :]
    if file is not None:
        _write_table(file, events)
    for event in events if file is None else ():
        click.echo(printable(_json(event) if as_json else line(event)))
    if not events:
        click.echo("no event of the audit is like that", err=True)
    if read.unreadable:
        click.echo(
            f"{len(read.unreadable)} records of {settings.topic_names.audit} are left out, such as "
            f"{read.unreadable[0]}: a newer version wrote them, or a stranger",
            err=True,
        )


def line(event: Any) -> str:
    """Return an event as a line."""
    from leverframe.agents.operator.narrate_audit import audit_text

    at = datetime.fromtimestamp(event.at_ms / 1000, tz=UTC)
    when = f"{at:%Y-%m-%d %H:%M:%S}.{event.at_ms % 1000:03d} UTC"
    who = f"{event.actor} (signed)" if event.signed else event.actor
    what = f"{when} {event.route} {event.epoch}.{event.seq} {event.event:10} {who}"
    return f"{what} | {audit_text(event)}".replace("\n", " ")


def _json(event: Any) -> str:
    from leverframe.schemas.codec import encode

    return encode(event).decode()


def _write_table(file: str, events: Sequence[Any]) -> None:
    from leverframe.agents.operator.narrate_audit import COLUMNS, audit_row

    # Whole or not at all: half a table would pass for one.
    with click.open_file(file, "w", encoding="utf-8", atomic=file != "-") as written:
        table = csv.writer(written, lineterminator="\n")
        table.writerow(COLUMNS)
        for event in events:
            table.writerow([printable(cell).replace("\n", " ") for cell in audit_row(event)])
    if file != "-":
        click.echo(printable(f"{len(events)} events in {file}"), err=True)
