"""``leverframe restart-from``."""

from pathlib import Path
from typing import Any

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import actor_option, config_option, examples
from leverframe.agents.cli.printable import printable
from leverframe.agents.cli.times import TIME

__all__ = ["COUNT_FROM", "restart_from"]


class _CountFrom(click.ParamType):
    """``beginning``, ``now`` or a time."""

    name = "when"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | int:
        """Return the word, or ms since the epoch."""
        if value in {"beginning", "now"}:
            return str(value)
        try:
            at: int = TIME.convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not beginning, not now, and no time", param, ctx)
        # A time without a fraction means the end of its second, where it says until when.
        return at - at % 1000 if at % 1000 == 999 else at


COUNT_FROM = _CountFrom()


@click.command(
    name="restart-from",
    epilog=examples(
        "leverframe restart-from beginning",
        "leverframe restart-from now --yes",
        "leverframe restart-from 2026-05-04T14:00:00",
    ),
)
@click.argument("when", type=COUNT_FROM)
@click.option("--yes", is_flag=True, help="Do not ask.")
@actor_option
@config_option
def restart_from(when: Any, config: Path | None, actor: str, *, yes: bool) -> None:
    """Give up what was counted, and count anew from WHEN: beginning, now or a time.

    While no worker runs. Says first what will be counted. What was decided stays: phases of arms,
    pins, freezes, policies; epochs go above the newest on control, so subscribers follow. Rewards
    that lie there are marked as counted before: replay and evaluate begin after the mark. Caches
    are set aside, not deleted. The topic audit says who did it.
    """
    from leverframe.agents.operator.restart import (
        carry_out_restart,
        plan_restart,
        require_no_member,
    )
    from leverframe.agents.settings import load_settings

    settings = load_settings(config)
    wanted = [topic.name for topic in settings.declared_topics()]

    def report(said: str) -> None:
        click.echo(printable(said), err=True)

    async def planned() -> Any:
        await require_no_member(settings, report)
        return await plan_restart(settings, when)

    plan = run_connected(settings, wanted, planned, counted=True)
    for line in _lines(plan):
        click.echo(printable(line))
    if not yes and not click.confirm("Give up what was counted before?", err=True):
        raise SystemExit(1)
    aside = run_connected(
        settings, wanted, lambda: carry_out_restart(settings, plan, actor, report)
    )
    if aside is not None:
        click.echo(printable(f"the caches of before lie in {aside}"))
    click.echo("done: start the workers")


def _lines(plan: Any) -> list[str]:
    counted = ", ".join(f"{count:,} of {topic}" for topic, count in plan.waiting.items())
    given_up = "statistics, evidence and predictions that wait for their label are given up"
    lines = [
        f"from {plan.said} on, these offsets will be counted: {counted}",
        f"{given_up}; arms keep their phase, pins and policies hold",
    ]
    lines += [
        f"{name}: epoch {message.epoch} -> {message.epoch + 1}, champion {message.champion}"
        + (f", quarantined {', '.join(message.quarantined)}" if message.quarantined else "")
        for name, message in plan.routes.items()
    ]
    if not plan.routes:
        lines.append("control holds no message: epochs begin at 0")
    return lines
