"""``leverframe actuate``."""

import os
from pathlib import Path

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import config_option, examples
from leverframe.agents.cli.printable import printable

__all__ = ["actuate"]


@click.command(
    epilog=examples(
        "leverframe actuate --config leverframe.toml",
        "leverframe actuate --config leverframe.toml --apply",
        "leverframe actuate --config leverframe.toml --apply --once",
    )
)
@config_option
@click.option("--apply", "is_applied", is_flag=True, help="Write; without it nothing is written.")
@click.option("--once", is_flag=True, help="End when everything is in force.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="Seconds that --once takes at most.",
)
@click.pass_context
def actuate(
    context: click.Context, config: Path | None, *, is_applied: bool, once: bool, timeout_s: float
) -> None:
    """Write weights where the traffic is split, until SIGTERM or Ctrl-C.

    It follows control, and writes to HTTPRoutes, InferenceServices and webhooks that the
    sections [actuators.NAME] name. Without --apply it prints what it would write. It
    acknowledges what it has read back. Exit code 1: something could not be read or written when
    it ended, or is not in force with --once. Exit code 2: settings or topics are wrong.
    """
    from leverframe.agents.actuate.server import How, make_places
    from leverframe.agents.actuate.server import actuate as follow
    from leverframe.agents.settings import load_settings
    from leverframe.agents.worker.logs import set_up_logging

    settings = load_settings(config)
    places = make_places(settings, os.environ)
    how = How(is_applied, timeout_s if once else None)

    async def begin() -> bool:
        set_up_logging(settings.app.log_level, settings.app.log_format)
        return await follow(settings, places, how, lambda text: click.echo(printable(text)))

    topics = settings.topic_names
    needed = [topics.control, topics.control_acks] if is_applied else [topics.control]
    if not run_connected(settings, needed, begin):
        context.exit(1)
