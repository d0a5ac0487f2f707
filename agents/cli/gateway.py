"""``leverframe gateway``."""

from pathlib import Path

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import config_option, examples

__all__ = ["gateway"]


@click.command(
    epilog=examples(
        "leverframe gateway --config leverframe.toml",
        "LEVERFRAME_BROKER=kafka:9092 LEVERFRAME_GATEWAY__PORT=8016 leverframe gateway",
    )
)
@config_option
def gateway(config: Path | None) -> None:
    """Answer over HTTP which arm is in force, until SIGTERM or Ctrl-C.

    It follows control, and speaks the OpenFeature remote evaluation protocol (OFREP);
    predictions and labels can be posted to it. Run as many as you like. Exit code 2: settings,
    topics or the address are wrong.
    """
    from leverframe.agents.settings import load_settings

    settings = load_settings(config)
    try:
        import uvloop

        from leverframe.agents.gateway.server import check_exposure, serve
    except ModuleNotFoundError as error:
        from leverframe.schemas.errors import SettingsError

        raise SettingsError(
            f"{error.name} is not installed: the gateway comes with pip install "
            "'leverframe[gateway]'"
        ) from error
    from leverframe.agents.telemetry.settings import require_packages
    from leverframe.agents.worker.logs import set_up_logging

    check_exposure(settings.gateway)
    require_packages(settings.telemetry)

    async def begin() -> None:
        # Not before: a broker that is away is one line, and aiokafka's log would add its own.
        set_up_logging(settings.app.log_level, settings.app.log_format)
        await serve(settings)

    topics = settings.topic_names
    needed = [topics.control, topics.control_acks, topics.predictions, topics.ground_truth]
    run_connected(settings, needed, begin, run=uvloop.run)
