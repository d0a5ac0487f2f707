"""Options that several commands share."""

from pathlib import Path

import click

__all__ = ["config_option", "examples", "json_option"]

config_option = click.option(
    "--config",
    "-c",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="LEVERFRAME_CONFIG",
    help="Settings file (TOML). Every key also as LEVERFRAME_<SECTION>__<KEY>.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def examples(*lines: str) -> str:
    """Return the end of a command's help.

    Parameters
    ----------
    *lines : str
        Each a whole command line.

    Returns
    -------
    str
        For ``epilog=``.
    """
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
