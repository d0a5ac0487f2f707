"""What pip installs as ``leverframe``: also where only the client is installed, it answers."""

import sys
from typing import Final

__all__ = ["main"]

CLIENT_ALONE: Final = (
    "leverframe: only the client for serving systems is installed here; the job and its commands "
    "come with: pip install 'leverframe[worker]'\n"
)


def main() -> None:
    """Run the command line, or say in one line which extra is missing."""
    try:
        import click  # noqa: F401 - the first thing that the command line needs
    except ModuleNotFoundError:
        sys.stderr.write(CLIENT_ALONE)
        sys.exit(2)
    from leverframe.agents.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
