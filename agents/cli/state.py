"""``leverframe state rebuild``."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import GuessingGroup, config_option, examples
from leverframe.agents.cli.printable import printable

__all__ = ["state"]


@click.group(cls=GuessingGroup)
def state() -> None:
    """Look after what the job keeps."""


@state.command(epilog=examples("leverframe state rebuild --config leverframe.toml"))
@config_option
def rebuild(config: Path | None) -> None:
    """Write changelogs that were lost again, from the caches in [app] datadir.

    While no worker runs, on each machine that has caches. Partitions whose changelog holds all that
    the cache does are left alone; one that a worker wrote to since is never overwritten.
    """
    from leverframe.agents.operator.rebuild import rebuild_all
    from leverframe.agents.settings import load_settings

    settings = load_settings(config)
    topics = settings.topic_names
    wanted = [topics.attribution_changelog, topics.learning_changelog]

    def report(agent: str, partition: int, done: Any) -> None:
        click.echo(printable(f"{agent} {partition}: {_said(done)}"))

    def wait(said: str) -> None:
        click.echo(printable(said), err=True)

    found = run_connected(
        settings, wanted, lambda: rebuild_all(settings, report, wait), counted=True
    )
    lost = [f"{agent} {partition}" for agent, partition, done in found if done.state == "no cache"]
    if lost:
        click.echo(
            printable(
                f"no cache here of {', '.join(lost)}: run it on the machine that has them; a "
                "partition that never was used needs none"
            ),
            err=True,
        )


def _said(done: Any) -> str:
    if done.state == "no cache":
        return "no cache here"
    if done.state == "in step":
        return "the changelog holds all of it; nothing to do"
    at = datetime.fromtimestamp(done.written_at_ms / 1000, UTC).isoformat(timespec="seconds")
    return f"{done.entries:,} entries written again, from a cache of {at}"
