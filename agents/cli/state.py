"""``leverframe state rebuild``, ``export`` and ``import``."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import GuessingGroup, actor_option, config_option, examples
from leverframe.agents.cli.printable import printable
from leverframe.agents.cli.restart import COUNT_FROM

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


@state.command(
    name="export", epilog=examples("leverframe state export /backup/leverframe-2026-11-28.state")
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@config_option
def export_(file: Path, config: Path | None) -> None:
    """Write all that the job keeps to FILE: statistics, evidence, requests that wait.

    While no worker runs. FILE is for nobody else to read: it holds request ids, labels and users.
    """
    from leverframe.agents.operator.state_export import export_state
    from leverframe.agents.settings import load_settings

    settings = load_settings(config)
    wanted = [topic.name for topic in settings.declared_topics()]
    done = run_connected(
        settings, wanted, lambda: export_state(settings, file, _report), counted=True
    )
    _show(done)
    click.echo(printable(f"{file}: {file.stat().st_size:,} bytes"))


@state.command(
    name="import",
    epilog=examples(
        "leverframe state import /backup/leverframe-2026-11-28.state",
        "leverframe state import leverframe.state --from now --yes",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--from",
    "count_from",
    type=COUNT_FROM,
    default=None,
    help="Count inputs from here: beginning, now or a time. Left out: from so early that whatever "
    "was not counted is; what was counted is known.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@actor_option
@config_option
def import_(file: Path, count_from: Any, config: Path | None, actor: str, *, yes: bool) -> None:
    """Go on with the state that FILE holds, on topics that no worker has counted yet.

    All of FILE is checked first: one that was cut or changed, or does not fit, changes nothing.
    Epochs go above the newest on control here. If it ends half-way, do it again before a worker
    starts.
    """
    from leverframe.agents.operator.state_import import import_state, look_at_state
    from leverframe.agents.settings import load_settings

    settings = load_settings(config)
    _show(look_at_state(settings, file))
    if not yes and not click.confirm("Begin with it here?", err=True):
        raise SystemExit(1)
    wanted = [topic.name for topic in settings.declared_topics()]
    run_connected(
        settings,
        wanted,
        lambda: import_state(settings, file, count_from, actor, _report),
        counted=True,
    )
    click.echo("done: start the workers")


def _report(said: str) -> None:
    click.echo(printable(said), err=True)


def _show(contents: Any) -> None:
    header = contents.header
    at = datetime.fromtimestamp(header.exported_at_ms / 1000, UTC).isoformat(timespec="seconds")
    lines = [
        f"state of {header.application!r}, {at}, written by leverframe {header.written_by}",
        *(f"{name}: {labels:,} labels counted" for name, labels in sorted(contents.routes.items())),
        f"{contents.requests:,} entries of requests",
        f"{contents.unread:,} rewards and commands that are yet to be counted",
    ]
    for line in lines:
        click.echo(printable(line))


def _said(done: Any) -> str:
    if done.state == "no cache":
        return "no cache here"
    if done.state == "in step":
        return "the changelog holds all of it; nothing to do"
    at = datetime.fromtimestamp(done.written_at_ms / 1000, UTC).isoformat(timespec="seconds")
    return f"{done.entries:,} entries written again, from a cache of {at}"
