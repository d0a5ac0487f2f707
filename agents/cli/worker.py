"""``leverframe worker``."""

from pathlib import Path

import click

from leverframe.agents.cli.options import config_option, examples

__all__ = ["worker"]


@click.command(
    epilog=examples(
        "leverframe worker --config leverframe.toml",
        "LEVERFRAME_BROKER=kafka:9092 leverframe worker",
        "LEVERFRAME_APP__PROCESSES=4 leverframe worker",
    )
)
@config_option
def worker(config: Path | None) -> None:
    """Run the stream job until SIGTERM or Ctrl-C.

    Each worker of a machine needs its own [app] datadir; to use several cores, let one worker be
    several [app] processes. Exit code 2: settings or topics are wrong;
    1: an unexpected end, nothing is lost, start it again.
    """
    from leverframe.agents.settings import load_settings
    from leverframe.agents.worker.run import run_worker

    run_worker(load_settings(config))
