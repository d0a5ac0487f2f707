"""``leverframe worker``."""

from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.connected import run_connected
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

    settings = load_settings(config)
    declared = [name for name, _, _ in settings.declared_topics()]
    run_connected(settings, declared, lambda: _refuse_wrong_topics(settings))
    from leverframe.agents.worker.run import run_worker

    run_worker(settings)


async def _refuse_wrong_topics(settings: Any) -> None:
    from leverframe.agents.doctor.topic_faults import topic_faults
    from leverframe.schemas.errors import BrokerError

    findings = await topic_faults(settings)
    if wrong := [f"{f.topic}: {f.detail}" for f in findings if f.state != "ok"]:
        raise BrokerError("the topics are not as declared:\n  " + "\n  ".join(wrong))
