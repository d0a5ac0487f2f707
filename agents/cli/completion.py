"""``leverframe completion``."""

import click

from leverframe.agents.cli.options import examples

__all__ = ["completion"]


@click.command(
    epilog=examples(
        'eval "$(leverframe completion bash)"',
        "leverframe completion fish > ~/.config/fish/completions/leverframe.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands and options of leverframe."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:  # a click without this shell
        raise click.ClickException(f"click knows no completion for {shell}")
    root = context.find_root().command
    click.echo(kind(root, {}, "leverframe", "_LEVERFRAME_COMPLETE").source())
