"""``leverframe doctor``."""

import asyncio
from pathlib import Path

import click

from leverframe.agents.cli.options import config_option, examples, json_option
from leverframe.agents.cli.printable import printable

__all__ = ["doctor"]


@click.command(
    epilog=examples(
        "leverframe doctor --config leverframe.toml",
        "leverframe doctor --json",
    )
)
@config_option
@json_option
def doctor(config: Path | None, *, as_json: bool) -> None:
    """Examine settings, broker, topics, retention, partitioners, clocks, permissions and workers.

    One line per check: ok, warning or fault, with what is wrong, where, and the cure. Nothing is
    written. Exit code 0: no fault; 1: a fault; 2: settings cannot be read or no broker answers.
    """
    from leverframe.agents.settings import load_settings

    settings = load_settings(config)

    import orjson
    from msgspec import to_builtins

    from leverframe.agents.doctor.examination import examine

    findings, code = asyncio.run(examine(settings, config))
    if as_json:
        click.echo(orjson.dumps(to_builtins(findings)).decode())
    else:
        for finding in findings:
            click.echo(printable(finding.line()))
    raise SystemExit(code)
