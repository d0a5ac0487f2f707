"""``leverframe topics create|check``."""

import asyncio
from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.options import config_option, examples, json_option

__all__ = ["topics"]


@click.group()
def topics() -> None:
    """Create or check the topics that the settings declare."""


@topics.command(epilog=examples("leverframe topics create --config leverframe.toml"))
@config_option
@json_option
def create(config: Path | None, *, as_json: bool) -> None:
    """Create what is missing; what exists stays as it is."""
    from leverframe.agents.settings import load_settings
    from leverframe.streams.runtime.topic_admin import create_topics

    settings = load_settings(config)
    wanted = settings.declared_topics()
    _show(
        asyncio.run(create_topics(settings.broker, wanted, settings.topics.replication)),
        wanted,
        as_json,
    )


@topics.command(epilog=examples("leverframe topics check", "leverframe topics check --json"))
@config_option
@json_option
def check(config: Path | None, *, as_json: bool) -> None:
    """Compare the broker's topics with the declared ones; exit code 2 if any differs."""
    from leverframe.agents.settings import load_settings
    from leverframe.streams.runtime.topic_admin import check_topics

    settings = load_settings(config)
    wanted = settings.declared_topics()
    _show(asyncio.run(check_topics(settings.broker, wanted)), wanted, as_json)


def _show(findings: list[Any], wanted: Any, as_json: bool) -> None:  # noqa: FBT001
    import orjson
    from msgspec import to_builtins

    if as_json:
        click.echo(orjson.dumps(to_builtins(findings)).decode())
    else:
        partitions = {name: count for name, count, _ in wanted}
        for finding in findings:
            click.echo(
                f"{finding.state:8} {finding.topic} ({partitions[finding.topic]} partitions)"
                + (f": {finding.detail}" if finding.detail else "")
            )
    if any(finding.state in {"missing", "wrong"} for finding in findings):
        raise SystemExit(2)
