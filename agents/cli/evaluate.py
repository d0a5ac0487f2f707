"""``leverframe evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import config_option, examples, json_option

if TYPE_CHECKING:
    from leverframe.streams.learning.counterfactual import Answer

__all__ = ["evaluate"]


@click.command(
    epilog=examples(
        "leverframe evaluate checkout --policy ucb",
        """leverframe evaluate checkout --policy exp3 --params '{"gamma": 0.1}' --json""",
    )
)
@click.argument("route")
@click.option("--policy", "-p", required=True, help="Name of the policy in question.")
@click.option("--params", default="{}", help="Its parameters, a JSON object.")
@config_option
@json_option
def evaluate(route: str, policy: str, params: str, config: Path | None, *, as_json: bool) -> None:
    """Say what a policy would have earned on ROUTE, from the recorded rewards.

    The policy sees the labels that were logged, and its weights meet the requests that were served
    next. Refuses, with exit code 1, where propensities are missing, or where its choices were
    hardly ever tried.
    """
    from leverframe.agents.settings import load_settings
    from leverframe.streams.routes.settings import NamedParams

    settings = load_settings(config)
    chosen = NamedParams(name=policy, params=_parsed(params))
    known, answer = _answered(settings, route, chosen)
    if as_json:
        import orjson
        from msgspec import to_builtins

        told = {
            "route": route,
            "policy": policy,
            "params": chosen.params,
            "confidence": 0.95,
            "reward_range": [known.reward_low, known.reward_high],
            **to_builtins(answer),
        }
        click.echo(orjson.dumps(told).decode())
        return
    _table(route, policy, answer)


def _answered(settings: Any, name: str, policy: Any) -> tuple[Any, Any]:
    """The compiled route, and what the policy would have earned."""
    from rich.console import Console
    from rich.progress import Progress

    topics = settings.topic_names
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("reading", total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, description="weighing", total=total, advance=done)

        async def evaluated() -> tuple[Any, Any]:
            # Heavy, and not needed to say that a topic is missing.
            from leverframe.agents.operator.apply import settings_in_force
            from leverframe.agents.operator.evaluate import evaluate_route
            from leverframe.policies.registry import make_policy
            from leverframe.schemas.errors import LeverframeError
            from leverframe.streams.routes.route import compile_routes

            make_policy(policy.name, policy.params)
            in_force = await settings_in_force(settings)
            route = compile_routes(in_force.routes).get(name)
            if route is None:
                raise LeverframeError(f"route {name!r} has no section in the settings")
            return route, await evaluate_route(settings, name, route, policy, report)

        wanted = (topics.rewards, topics.commands, topics.traffic, topics.route_settings)
        return run_connected(settings, wanted, evaluated, counted=True)


def _parsed(params: str) -> dict[str, Any]:
    import orjson

    try:
        parsed = orjson.loads(params)
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f"no JSON: {error}", param_hint="--params") from error
    if not isinstance(parsed, dict):
        raise click.BadParameter("must be a JSON object", param_hint="--params")
    return parsed


def _table(route: str, policy: str, answer: "Answer") -> None:
    from rich.console import Console
    from rich.table import Table

    found = answer.evaluation
    click.echo(
        f"{policy} on {route}: {found.requests:,} of {answer.rewards:,} rewards used "
        f"({answer.too_early:,} served before its first weights, {found.left_out:,} without a "
        f"propensity), worth {found.effective:,.0f}"
        + (f" of {found.units:,} units" if found.units < found.requests else "")
    )
    by_unit = "steadied, by unit" if found.units < found.requests else "steadied"
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("reward, mapped to [0, 1]")
    for title in ("mean", "from", "to"):
        table.add_column(title, justify="right")
    table.add_column("95 % interval")
    for title, estimate, interval in (
        ("logged, as served", found.logged, by_unit),
        ("IPS", found.ips, by_unit),
        ("IPS", found.ips_bernstein, "empirical Bernstein"),
        ("SNIPS", found.snips, by_unit),
        ("doubly robust", found.dr, by_unit),
    ):
        if estimate is not None:
            numbers = (f"{x:.4f}" for x in (estimate.value, estimate.low, estimate.high))
            table.add_row(title, *numbers, interval)
    Console(highlight=False).print(table)
    click.echo(
        f"importance weights average {found.mean_weight:.3f} (1 is right), "
        f"largest {found.largest_weight:.3g}"
    )
    if found.units < found.requests:
        click.echo("no interval by Bernstein: its proof needs a request to be a unit of its own")
    if answer.why_no_dr:
        click.echo(f"no doubly robust estimate: {answer.why_no_dr}")
    _metrics(policy, answer)


def _metrics(policy: str, answer: "Answer") -> None:
    """What each metric was, and would have been."""
    from rich.console import Console
    from rich.table import Table

    told = [one for one in answer.metrics if one.snips is not None]
    if told:
        click.echo()
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("metric, mean")
        for title in ("as served", "from", "to", f"under {policy}", "from", "to", "requests"):
            table.add_column(title, justify="right")
        for one in told:
            found = (x for x in (one.logged, one.snips) if x is not None)
            numbers = [f"{x:.6g}" for e in found for x in (e.value, e.low, e.high)]
            table.add_row(one.name, *numbers, f"{one.requests:,}")
        Console(highlight=False).print(table)
    for one in answer.metrics:
        if one.refused:
            click.echo(f"{one.name}: not estimated: {one.refused}")
