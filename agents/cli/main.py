"""``leverframe``: each command is imported when it is used."""

import importlib
import sys
from typing import Any, Final

import click

from leverframe.agents.cli.options import GuessingGroup
from leverframe.agents.cli.terminal import as_typed, leave_quietly, prepare
from leverframe.schemas.errors import LeverframeError

__all__ = ["cli", "main"]

# Command -> module that defines it, imported only when it is used, so that --help answers at once.
_COMMANDS: Final = {
    "actuate": "leverframe.agents.cli.actuate",
    "apply": "leverframe.agents.cli.plan",
    "approve": "leverframe.agents.cli.steer",
    "arm": "leverframe.agents.cli.steer",
    "audit": "leverframe.agents.cli.audit",
    "broker": "leverframe.agents.cli.broker",
    "completion": "leverframe.agents.cli.completion",
    "dead-letters": "leverframe.agents.cli.dead_letters",
    "demo": "leverframe.experiments.demo.command",
    "doctor": "leverframe.agents.cli.doctor",
    "evaluate": "leverframe.agents.cli.evaluate",
    "experiment": "leverframe.experiments.command",
    "explain": "leverframe.agents.cli.explain",
    "freeze": "leverframe.agents.cli.steer",
    "gateway": "leverframe.agents.cli.gateway",
    "labels": "leverframe.agents.cli.labels",
    "mlflow": "leverframe.agents.cli.mlflow",
    "pin": "leverframe.agents.cli.steer",
    "plan": "leverframe.agents.cli.plan",
    "promote": "leverframe.agents.cli.steer",
    "ramp": "leverframe.agents.cli.steer",
    "reject": "leverframe.agents.cli.steer",
    "release": "leverframe.agents.cli.steer",
    "replay": "leverframe.agents.cli.replay",
    "restart-from": "leverframe.agents.cli.restart",
    "rollback": "leverframe.agents.cli.steer",
    "schemas": "leverframe.agents.cli.schemas",
    "set-policy": "leverframe.agents.cli.steer",
    "sources": "leverframe.agents.cli.sources",
    "state": "leverframe.agents.cli.state",
    "status": "leverframe.agents.cli.status",
    "topics": "leverframe.agents.cli.topics",
    "unfreeze": "leverframe.agents.cli.steer",
    "unpin": "leverframe.agents.cli.steer",
    "watch": "leverframe.agents.cli.watch",
    "weights": "leverframe.agents.cli.steer",
    "worker": "leverframe.agents.cli.worker",
}
_HELP: Final = {
    "actuate": "Write weights where the traffic is split.",
    "apply": "Let a file of routes hold while the job runs.",
    "approve": "Approve a proposed promotion.",
    "arm": "Register or retire an arm.",
    "audit": "Who did what, and on which evidence.",
    "broker": "A real Apache Kafka for development.",
    "completion": "Completion for your shell.",
    "dead-letters": "What was set aside, and putting it back.",
    "demo": "The whole loop on this machine.",
    "doctor": "What is wrong here, and the cure.",
    "evaluate": "What another policy would have earned.",
    "experiment": "Compare strategies on drifting data.",
    "explain": "Why the weights are what they are.",
    "freeze": "Hold a route's weights as they are.",
    "gateway": "Answer over HTTP which arm is in force.",
    "labels": "Load labels from a file.",
    "mlflow": "Arms from MLflow's model versions, and its alias.",
    "pin": "Send all traffic to one arm.",
    "plan": "What apply would change.",
    "promote": "Make an arm the champion.",
    "ramp": "Let an arm's share grow step by step.",
    "reject": "Reject a proposed promotion.",
    "release": "Let a quarantined arm start again.",
    "replay": "Recorded rewards through the pure steps.",
    "restart-from": "Give up what was counted, and count anew.",
    "rollback": "Take all traffic off an arm.",
    "schemas": "JSON Schemas and AsyncAPI of the records.",
    "set-policy": "Change a route's policy.",
    "sources": "What topics of yours would become.",
    "state": "Write lost changelogs again.",
    "status": "Weights, labels and means of the routes.",
    "topics": "Create or check the topics.",
    "unfreeze": "Let a route's weights move again.",
    "unpin": "Let the policy weigh the arms again.",
    "watch": "The control stream, readable.",
    "weights": "Set a route's weights by hand.",
    "worker": "Run the stream job.",
}


class _LazyGroup(GuessingGroup):
    """Finds commands by name without importing the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all command names, sorted."""
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(
            importlib.import_module(module), cmd_name.replace("-", "_")
        )
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; when its reader has gone, end as a program of the shell does."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            leave_quietly()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands from the table, importing nothing."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, _HELP[name]) for name in sorted(_COMMANDS)])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="leverframe")
def cli() -> None:
    """Decide, live, which deployed model version answers."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line; an error of ours is one clear message and its exit code.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; the process's own when left out.
    """
    prepare()
    try:
        code = _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        leave_quietly()
    sys.exit(code)


def _run(argv: list[str] | None) -> int | str | None:
    try:
        words = [as_typed(word) for word in (sys.argv[1:] if argv is None else argv)]
        cli.main(args=words, prog_name="leverframe", standalone_mode=True)
    except SystemExit as ended:
        return ended.code
    except LeverframeError as error:
        from leverframe.agents.cli.printable import printable

        click.echo(printable(f"leverframe: {error}"), err=True)
        return error.exit_code


if __name__ == "__main__":
    main()
