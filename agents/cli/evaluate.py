"""``leverframe evaluate``."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
    import orjson
    from msgspec import to_builtins
    from rich.console import Console
    from rich.progress import Progress

    from leverframe.agents.operator.evaluate import evaluate_route
    from leverframe.agents.settings import load_settings
    from leverframe.schemas.errors import LeverframeError
    from leverframe.streams.routes.route import compile_routes
    from leverframe.streams.routes.settings import NamedParams

    settings = load_settings(config)
    known = compile_routes(settings.routes).get(route)
    if known is None:
        raise LeverframeError(f"route {route!r} has no section in the settings")
    chosen = NamedParams(name=policy, params=_parsed(params))
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("reading", total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, description="weighing", total=total, advance=done)

        answer = asyncio.run(evaluate_route(settings, route, known, chosen, report))
    if as_json:
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
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("reward, mapped to [0, 1]")
    for title in ("mean", "from", "to"):
        table.add_column(title, justify="right")
    table.add_column("95 % interval")
    for title, estimate, interval in (
        ("logged, as served", found.logged, "normal"),
        ("IPS", found.ips, "normal"),
        ("IPS", found.ips_bernstein, "empirical Bernstein"),
        ("SNIPS", found.snips, "normal, delta method"),
        ("doubly robust", found.dr, "normal"),
    ):
        if estimate is not None:
            numbers = (f"{x:.4f}" for x in (estimate.value, estimate.low, estimate.high))
            table.add_row(title, *numbers, interval)
    Console(highlight=False).print(table)
    click.echo(
        f"importance weights average {found.mean_weight:.3f} (1 is right), "
        f"largest {found.largest_weight:.3g}"
    )
    if answer.why_no_dr:
        click.echo(f"no doubly robust estimate: {answer.why_no_dr}")
