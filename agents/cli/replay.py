"""``leverframe replay``."""

import asyncio
from pathlib import Path

import click

from leverframe.agents.cli.options import config_option, examples, json_option
from leverframe.agents.cli.printable import printable

__all__ = ["replay"]


@click.command(
    epilog=examples(
        "leverframe replay checkout",
        "leverframe replay checkout --until 1777903327113 --json",
        "leverframe replay checkout --until-reward 180015",
    )
)
@click.argument("route")
@click.option("--until", type=int, default=None, help="Only records written up to this time, ms.")
@click.option(
    "--until-reward", type=int, default=None, help="Only up to the reward record at this offset."
)
@config_option
@json_option
def replay(
    route: str,
    until: int | None,
    until_reward: int | None,
    config: Path | None,
    *,
    as_json: bool,
) -> None:
    """Run the recorded rewards, commands and traffic of ROUTE through the pure steps.

    Prints the digest of the state that comes out, and whether it is that of the newest control
    message: the same input gives the same state. Commands and traffic are placed between rewards by
    the times at which they were written; what came within the same millisecond may have been taken
    in another order.
    """
    import orjson

    from leverframe.agents.operator.control import newest_messages
    from leverframe.agents.operator.replay import read_partition
    from leverframe.agents.operator.replay import replay as run
    from leverframe.agents.settings import load_settings
    from leverframe.agents.worker.learning import input_kinds
    from leverframe.policies.units import NANO
    from leverframe.schemas.errors import LeverframeError
    from leverframe.streams.learning.state import state_digest
    from leverframe.streams.routes.route import compile_routes

    settings = load_settings(config)
    records = asyncio.run(read_partition(settings, route))
    states = run(
        records,
        compile_routes(settings.routes),
        input_kinds(settings),
        max_value_bytes=settings.app.max_value_bytes,
        until_ms=until,
        until_reward=until_reward,
    )
    if route not in states:
        raise LeverframeError(f"nothing was recorded for route {route!r}")
    state = states[route]
    newest = asyncio.run(newest_messages(settings)).get(route)
    live = newest.state_digest if newest is not None else None
    digest = state_digest(state)
    if as_json:
        told = {
            "route": route,
            "records": len(records),
            "digest": digest,
            "live_digest": live,
            "epoch": state.epoch,
            "champion": state.champion,
            "weights": state.weights,
            "arms": {
                name: {"labels": arm.count, "reward_sum": arm.sum_nano / NANO, "phase": arm.phase}
                for name, arm in state.arms.items()
            },
        }
        click.echo(printable(orjson.dumps(told).decode()))
        return
    told_of = printable(str(state.champion))
    click.echo(f"{len(records):,} records, epoch {state.epoch}, champion {told_of}")
    for name, arm in state.arms.items():
        mean = f"{arm.sum_nano / NANO / arm.count:.6f}" if arm.count else "-"
        weight = state.weights.get(name, 0.0)
        shown = printable(name)
        click.echo(
            f"  {shown}: {arm.phase}, weight {weight:.4f}, {arm.count:,} labels, mean {mean}"
        )
    is_part = until is not None or until_reward is not None
    agrees = "" if is_part or live is None else (
        ", as the newest control message" if live == digest else f", the newest message has {live}"
    )  # fmt: skip
    click.echo(f"state digest {digest}{agrees}")
