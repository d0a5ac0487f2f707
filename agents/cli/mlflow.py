"""``leverframe mlflow``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import config_option, examples, json_option
from leverframe.agents.cli.printable import printable

__all__ = ["mlflow"]


@click.command(
    epilog=examples(
        "leverframe mlflow --config leverframe.toml",
        "leverframe mlflow --config leverframe.toml --apply",
        "leverframe mlflow --apply --take-alias checkout",
    )
)
@config_option
@click.option("--apply", "applies", is_flag=True, help="Do it, and follow until SIGTERM or Ctrl-C.")
@click.option("--once", is_flag=True, help="With --apply: end when it is done.")
@click.option(
    "--take-alias",
    metavar="ROUTE",
    multiple=True,
    help="Move the alias of this route's model once although somebody else set it.",
)
@json_option
def mlflow(config: Path | None, take_alias: tuple[str, ...], **options: bool) -> None:
    """Register model versions of MLflow as arms; let its alias follow the champion.

    Without --apply it says what it would do, and changes nothing. Exit code 1: something would be
    done or, with --once, is left undone; 2: settings, broker or MLflow.
    """
    from leverframe.agents.settings import load_settings

    applies, once, as_json = options["applies"], options["once"], options["as_json"]
    if once and not applies:
        raise click.UsageError("--once is for --apply; without it nothing is done anyway")
    settings = load_settings(config)
    from leverframe.agents.mlflow import following

    following.check_mlflow(settings, take_alias, applies=applies)
    topics = settings.topic_names
    needed = [topics.control]
    if applies:
        needed += [topics.commands, topics.control_acks, topics.dead_letters]

    async def follow() -> None:
        from leverframe.agents.worker.logs import set_up_logging

        set_up_logging(settings.app.log_level, settings.app.log_format)
        await following.follow_models(settings, take_alias)

    if applies and not once:
        run_connected(settings, needed, follow)
        return

    def tell(line: str) -> None:
        click.echo(printable(line), err=as_json)

    if applies:
        plans = run_connected(
            settings, needed, lambda: following.mend_models(settings, take_alias, tell)
        )
    else:
        plans = run_connected(
            settings, needed, lambda: following.look_at_models(settings, take_alias)
        )
    _show(plans, settings.mlflow.routes, as_json=as_json)
    if any(plan.steps or plan.findings for plan in plans.values()):
        raise SystemExit(1)


def _show(plans: Mapping[str, Any], routes: Mapping[str, Any], *, as_json: bool) -> None:
    from leverframe.agents.mlflow.route import said

    shown = {
        route: {
            "steps": [said(step, routes[route]) for step in plan.steps],
            "left": {finding.word: finding.text for finding in plan.findings},
        }
        for route, plan in plans.items()
    }
    if as_json:
        click.echo(json.dumps(shown))
        return
    for route, plan in plans.items():
        lines = [f"{route}: would {said(step, routes[route])}" for step in plan.steps]
        lines += [f"{route}: left: {finding.text}" for finding in plan.findings]
        for line in lines or [f"{route}: nothing to do"]:
            click.echo(printable(line))
