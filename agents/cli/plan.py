"""``leverframe plan`` and ``leverframe apply``: routes' settings while the job runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import actor_option, config_option, examples, json_option
from leverframe.agents.cli.printable import printable

__all__ = ["apply", "plan"]

_FILE: Final = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_STANDING: Final = {
    "same": "as it runs",
    "new": "nothing was applied yet; it runs as the workers' settings file says",
    "left over": "applied before, and not in the file; apply --prune gives it back to the workers' "
    "settings file",
}


@click.command(epilog=examples("leverframe plan routes.toml", "leverframe plan routes.toml --json"))
@_FILE
@config_option
@json_option
def plan(file: Path, config: Path | None, *, as_json: bool) -> None:
    """Show what apply would change: how FILE differs from what runs.

    FILE has sections [routes.NAME], and may be a whole settings file. Policies that a command chose
    differ too; pins and freezes are no settings. Exit code 1 where anything differs.
    """
    _, _, plans = _planned(file, config)
    _show(plans, as_json=as_json)
    differs = sum(one.standing != "same" for one in plans)
    if not as_json:
        click.echo(
            printable(
                f"{differs} of {len(plans)} routes differ: leverframe apply {file}"
                if differs
                else f"all {len(plans)} routes run as {file} says"
            )
        )
    if differs:
        raise SystemExit(1)


@click.command(
    epilog=examples(
        "leverframe apply routes.toml", "leverframe apply routes.toml --yes --prune --actor ci"
    )
)
@_FILE
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--prune", is_flag=True, help="Give routes that FILE lacks back to the workers' settings file."
)
@click.option("--timeout", default=15.0, show_default=True, help="Seconds to wait.")
@actor_option
@config_option
def apply(
    file: Path, config: Path | None, timeout: float, actor: str, *, yes: bool, prune: bool
) -> None:
    """Let the settings of FILE hold for its routes, without a restart of the workers.

    All of FILE is checked first: a wrong one changes nothing. What was applied stays over restarts,
    above the workers' settings file, and goes into replays where it was applied.
    """
    from leverframe.agents.operator.apply import apply_routes
    from leverframe.schemas.errors import LeverframeError

    settings, wanted, plans = _planned(file, config)
    _show(plans, as_json=False)
    changes = {one.route: wanted[one.route] for one in plans if one.standing in {"new", "changed"}}
    if prune:
        changes |= {one.route: None for one in plans if one.standing == "left over"}
    if not changes:
        click.echo("nothing to change")
        return
    if not yes and not click.confirm(f"Apply to {len(changes)} routes?", err=True):
        raise SystemExit(1)
    refused = []

    async def applied() -> None:
        answers = apply_routes(settings, changes, actor=actor, timeout_s=timeout)
        async for route, why in answers:
            if why is not None:
                refused.append(f"{route}: {why}")
            done = "applied" if changes[route] is not None else "given back to the workers' file"
            click.echo(printable(f"{route}: {why or done}"), err=why is not None)

    topics = settings.topic_names
    run_connected(settings, (topics.commands, topics.route_settings, topics.dead_letters), applied)
    if refused:
        raise LeverframeError(
            f"{len(refused)} of {len(changes)} routes were refused and run as before"
        )


def _planned(file: Path, config: Path | None) -> tuple[Any, Any, Any]:
    from leverframe.agents.operator.apply import applied_routes
    from leverframe.agents.operator.plan import plan_routes
    from leverframe.agents.operator.standing import policies_by_command
    from leverframe.agents.settings import load_routes, load_settings

    wanted = load_routes(file)
    settings = load_settings(config)
    topics = settings.topic_names

    async def looked() -> Any:
        commanded = await policies_by_command(settings, settings.topics.route_partitions)
        return plan_routes(wanted, await applied_routes(settings), commanded, settings.routes)

    plans = run_connected(
        settings, (topics.route_settings, topics.learning_changelog), looked, counted=True
    )
    return settings, wanted, plans


def _show(plans: Any, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        click.echo(json.dumps([msgspec.to_builtins(one) for one in plans], indent=2))
        return
    for one in plans:
        for line in _lines(one):
            click.echo(printable(line))


def _lines(one: Any) -> Iterator[str]:
    count = len(one.differences)
    said = f"{count} difference{'s' if count != 1 else ''}"
    standing = _STANDING.get(one.standing, said)
    yield f"{one.route}: {standing}" + (f"; {said}" if one.standing == "new" and count else "")
    for difference in one.differences:
        by = " (by a command, which apply takes back)" if difference.by_command else ""
        yield f"  {difference.key}: {_value(difference.runs)}{by} -> {_value(difference.wanted)}"


def _value(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)
