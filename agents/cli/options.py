"""What several commands share: options, and groups that guess what was meant."""

import difflib
import getpass
from pathlib import Path

import click

__all__ = ["GuessingGroup", "actor_option", "config_option", "examples", "json_option"]

config_option = click.option(
    "--config",
    "-c",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="LEVERFRAME_CONFIG",
    help="Settings file (TOML). Every key also as LEVERFRAME_<SECTION>__<KEY>.",
)


def _user(_ctx: click.Context, _param: click.Parameter, given: str | None) -> str:
    return given or getpass.getuser()


actor_option = click.option(
    "--actor",
    callback=_user,
    envvar="LEVERFRAME_ACTOR",
    help="Who asks [env LEVERFRAME_ACTOR]; your user name when left out.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


class GuessingGroup(click.Group):
    """Answers a command that it does not have with the one that was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which is close to it."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            if not close:
                raise
            raise click.UsageError(
                f"No such command {args[0]!r}. Did you mean {close[0]!r}?", ctx
            ) from error


def examples(*lines: str) -> str:
    """Return the end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
