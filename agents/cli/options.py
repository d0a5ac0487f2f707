"""Options that several commands share."""

from pathlib import Path

import click

__all__ = ["config_option", "json_option"]

config_option = click.option(
    "--config",
    "-c",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="LEVERFRAME_CONFIG",
    help="Settings file (TOML). Every key also as LEVERFRAME_<SECTION>__<KEY>.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
