"""The commands that change a route: each sends a command and waits for the job's answer."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import (
    GuessingGroup,
    actor_option,
    config_option,
    examples,
    json_option,
)
from leverframe.agents.cli.printable import printable

__all__ = [
    "approve",
    "arm",
    "freeze",
    "pin",
    "promote",
    "ramp",
    "reject",
    "release",
    "rollback",
    "set_policy",
    "unfreeze",
    "unpin",
    "weights",
]


_ACKS_S: Final = 3.0


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        config_option,
        json_option,
        click.option("--timeout", default=15.0, show_default=True, help="Seconds to wait."),
        actor_option,
    ):
        command = option(command)
    return command


def _ask(
    route: str,
    action: Any,
    arm_name: str | None,
    params: dict[str, Any] | None = None,
    *,
    config: Path | None,
    as_json: bool,
    timeout: float,
    actor: str,
) -> None:
    from leverframe.agents.cli.watch import line
    from leverframe.agents.operator.commands import ask
    from leverframe.agents.settings import load_settings
    from leverframe.schemas.codec import encode

    settings = load_settings(config)
    topics = settings.topic_names
    answer = run_connected(
        settings,
        (topics.commands, topics.control, topics.control_acks, topics.dead_letters),
        lambda: ask(
            settings,
            route,
            action,
            arm=arm_name,
            params=params,
            actor=actor,
            timeout_s=timeout,
            acks_s=_ACKS_S,
        ),
    )
    shown = encode(answer.message).decode() if as_json else line(answer.message)
    click.echo(printable(shown))
    replicas = answer.message.cause.get("replicas", [])
    if replicas:
        done = len(replicas) - len(answer.behind)
        text = f"applied by {done} of {len(replicas)} replicas"
        text += "" if answer.applied_in_ms is None else f" in {answer.applied_in_ms} ms"
        text += f"; not yet by {', '.join(answer.behind)}" if answer.behind else ""
        click.echo(printable(text), err=True)


def _on_arm(action: str, text: str) -> click.Command:
    @click.command(
        name=action,
        help=text,
        epilog=examples(
            f"leverframe {action} checkout model-3",
            f"leverframe {action} checkout model-3 --actor ada --json",
        ),
    )
    @click.argument("route")
    @click.argument("arm")
    @_options
    def command(route: str, arm: str, **options: Any) -> None:
        _ask(route, action, arm, **options)

    return command


def _on_route(action: str, text: str) -> click.Command:
    @click.command(name=action, help=text, epilog=examples(f"leverframe {action} checkout"))
    @click.argument("route")
    @_options
    def command(route: str, **options: Any) -> None:
        _ask(route, action, None, **options)

    return command


@click.command(
    epilog=examples(
        "leverframe rollback checkout model-3",
        "leverframe rollback checkout model-3 --yes",
    )
)
@click.argument("route")
@click.argument("arm_name", metavar="ARM")
@click.option(
    "--yes", is_flag=True, help="Also where the arm that takes over is worse by the evidence."
)
@_options
def rollback(route: str, arm_name: str, yes: bool, **options: Any) -> None:  # noqa: FBT001 - click
    """Take all traffic off ARM at once and return it to the last known good."""
    _ask(route, "rollback", arm_name, {"yes": True} if yes else None, **options)


promote = _on_arm("promote", "Make ARM the champion of ROUTE.")
pin = _on_arm("pin", "Send all traffic of ROUTE to ARM until unpinned.")
release = _on_arm("release", "Let a quarantined ARM start again in the nursery.")


def _on_proposal(action: str, text: str) -> click.Command:
    @click.command(
        name=action,
        help=text,
        epilog=examples(f"leverframe {action} checkout", f"leverframe {action} checkout model-3"),
    )
    @click.argument("route")
    @click.argument("arm", required=False)
    @_options
    def command(route: str, arm: str | None, **options: Any) -> None:
        _ask(route, action, arm, **options)

    return command


approve = _on_proposal("approve", "Approve the promotion that is proposed on ROUTE.")
reject = _on_proposal("reject", "Reject the promotion that is proposed on ROUTE.")
unpin = _on_route("unpin", "Let the policy weigh the arms of ROUTE again.")
freeze = _on_route("freeze", "Hold the weights of ROUTE; a rollback still goes through.")
unfreeze = _on_route("unfreeze", "Let the weights of ROUTE move again.")


class _Prior(click.ParamType):
    """Successes and failures, ``91,9``."""

    name = "S,F"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[float]:
        """Read two numbers, neither of them negative."""
        try:
            counts = [float(one) for one in str(value).split(",")]
        except ValueError:
            counts = []
        if len(counts) != len(("successes", "failures")) or not all(
            math.isfinite(one) and one >= 0 for one in counts
        ):
            self.fail(f"{value!r} is not successes,failures, such as 91,9", param, ctx)
        return counts


@click.group(cls=GuessingGroup)
def arm() -> None:
    """Register or retire an arm."""


@arm.command(
    epilog=examples(
        "leverframe arm register checkout model-3",
        "leverframe arm register checkout model-3 --validation-score 0.91",
        "leverframe arm register checkout model-3 --validation-score 0.91 --validation-count 2000",
        "leverframe arm register checkout model-3 --prior 91,9",
        "leverframe arm register checkout model-3 --shadow",
    )
)
@click.argument("route")
@click.argument("arm_name", metavar="ARM")
@click.option("--validation-score", type=float, default=None, help="Score on held-out data.")
@click.option(
    "--validation-count",
    type=click.IntRange(min=1),
    default=None,
    help="Rows of that data: the score is then a mean reward, with which policies begin.",
)
@click.option(
    "--prior",
    type=_Prior(),
    default=None,
    help="Successes and failures with which policies begin, such as 91,9.",
)
@click.option("--shadow", is_flag=True, help="Without traffic, beside the others.")
@_options
def register(
    route: str,
    arm_name: str,
    validation_score: float | None,
    validation_count: int | None,
    prior: list[float] | None,
    *,
    shadow: bool,
    **options: Any,
) -> None:
    """Register ARM on ROUTE; it starts in the nursery.

    With --shadow it gets no traffic: it is judged by what it answers beside the others, on a route
    whose labels do not depend on the answer, and promoted once it is proved to be better.

    What is known beforehand counts for policies, as much as max_prior_labels labels (100) at most;
    it is no evidence: neither guard nor promotion looks at it.
    """
    if validation_count is not None and validation_score is None:
        raise click.UsageError("--validation-count needs --validation-score")
    if validation_count is not None and prior is not None:
        raise click.UsageError("--prior and --validation-count say the same; give one of them")
    params = {
        "validation_score": validation_score,
        "validation_count": validation_count,
        "prior": prior,
        "shadow": shadow or None,
    }
    params = {name: value for name, value in params.items() if value is not None}
    _ask(route, "register_arm", arm_name, params or None, **options)


@arm.command(epilog=examples("leverframe arm retire checkout model-1"))
@click.argument("route")
@click.argument("arm_name", metavar="ARM")
@_options
def retire(route: str, arm_name: str, **options: Any) -> None:
    """Retire ARM for good."""
    _ask(route, "retire_arm", arm_name, **options)


@click.command(
    epilog=examples(
        "leverframe set-policy checkout thompson",
        """leverframe set-policy checkout epsilon_greedy --params '{"epsilon": 0.05}'""",
    )
)
@click.argument("route")
@click.argument("policy")
@click.option("--params", default="{}", help='Parameters as JSON, such as {"epsilon": 0.05}.')
@_options
def set_policy(route: str, policy: str, params: str, **options: Any) -> None:
    """Change the policy of ROUTE to POLICY."""
    try:
        parsed = json.loads(params)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--params") from error
    _ask(route, "set_policy", None, {"policy": policy, "params": parsed}, **options)


class _Shares(click.ParamType):
    """``ARM=SHARE``, a share as 0.9 or 90%."""

    name = "ARM=SHARE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Read a name and a number; the name may hold an equals sign."""
        name, _, said = str(value).rpartition("=")
        try:
            share = float(said.removesuffix("%")) / (100 if said.endswith("%") else 1)
        except ValueError:
            share = math.nan
        if not name or not math.isfinite(share):
            self.fail(f"{value!r} is not ARM=SHARE, such as model-3=0.1 or model-3=10%", param, ctx)
        return name, share


@click.command(
    epilog=examples(
        "leverframe weights checkout model-2=0.9 model-3=0.1",
        "leverframe weights checkout model-3=100%",
    )
)
@click.argument("route")
@click.argument("shares", nargs=-1, required=True, type=_Shares())
@_options
def weights(route: str, shares: tuple[tuple[str, float], ...], **options: Any) -> None:
    """Set the weights of ROUTE by hand: its policy is static from now on.

    Guard and probation still watch; set-policy gives the route back to a policy that learns.
    """
    named = dict(shares)
    if len(named) < len(shares):
        raise click.UsageError("an arm is named twice")
    _ask(route, "set_weights", None, {"weights": named}, **options)


_RAMP_ACTIONS: Final = ("pause", "resume", "skip", "abort")


@click.command(
    epilog=examples(
        "leverframe ramp checkout model-3 --steps 1,5,25,50,100 --dwell 10m --min-labels 500",
        "leverframe ramp checkout --pause",
        "leverframe ramp checkout --abort",
    )
)
@click.argument("route")
@click.argument("arm_name", metavar="[ARM]", required=False)
@click.option("--steps", help="Percentages of the traffic, rising to 100.")
@click.option("--dwell", help="How long a step lasts at least, such as 10m.")
@click.option("--min-labels", type=click.IntRange(min=0), help="Labels that a step takes at least.")
@click.option("--gate", type=click.Choice(["healthy", "not_harmful"]), help="Verdict to go on.")
@click.option("--limit", help="How long a step may wait beyond its dwell, such as 2h.")
@click.option(
    "--at-limit", type=click.Choice(["hold", "abort", "go_on"]), help="What happens then."
)
@click.option("--pause", "do", flag_value="pause", help="Stay at the step in force.")
@click.option("--resume", "do", flag_value="resume", help="Go on after a pause.")
@click.option("--skip", "do", flag_value="skip", help="Go to the next step now.")
@click.option("--abort", "do", flag_value="abort", help="End the ramp; the policy weighs again.")
@_options
def ramp(route: str, arm_name: str | None, do: str | None, **options: Any) -> None:
    """Let the share of ARM grow step by step, each behind a gate; or steer the ramp under way.

    A step goes on when it has lasted long enough, has its labels, and the guard's verdict on ARM is
    the gate's. What is left out is as in [routes.NAME.ramp]. At 100 ARM becomes the champion; once
    it is harmful it is rolled back as ever.
    """
    words = ("steps", "dwell", "min_labels", "gate", "limit", "at_limit")
    plan = {name: value for name in words if (value := options.pop(name)) is not None}
    if do is not None and (plan or arm_name):
        raise click.UsageError(f"--{do} steers the ramp under way: it takes neither ARM nor a plan")
    if do is None and arm_name is None:
        raise click.UsageError(f"ARM is missing; or one of --{', --'.join(_RAMP_ACTIONS)}")
    if "steps" in plan:
        plan["steps"] = _percentages(plan["steps"])
    _ask(route, "ramp", arm_name, {"do": do} if do else plan, **options)


def _percentages(written: str) -> list[float]:
    try:
        return [float(step.removesuffix("%")) for step in written.split(",")]
    except ValueError as error:
        text = f"{written!r} is no list of percentages, such as 1,5,25,50,100"
        raise click.BadParameter(text, param_hint="--steps") from error
