"""``leverframe replay``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from leverframe.agents.cli.connected import run_connected
from leverframe.agents.cli.options import config_option, examples, json_option
from leverframe.agents.cli.printable import printable
from leverframe.agents.cli.times import TIME

__all__ = ["replay"]

# Changes of a route, newest first, among which one that a reward decided is looked for.
_LOOKED_AT: Final = 100


@click.command(
    epilog=examples(
        "leverframe replay checkout",
        "leverframe replay checkout --until 1777903327113 --json",
        "leverframe replay checkout --until-reward 180015",
    )
)
@click.argument("route")
@click.option(
    "--until",
    type=TIME,
    default=None,
    help="Only records written up to then: ms, ISO time (UTC unless it says), a time of today.",
)
@click.option(
    "--until-reward", type=int, default=None, help="Only up to the reward record at this offset."
)
@click.option(
    "--and-decide",
    is_flag=True,
    help="Then decide on the labels that wait, as the job did once their burst was over.",
)
@config_option
@json_option
def replay(
    route: str,
    until: int | None,
    until_reward: int | None,
    config: Path | None,
    *,
    and_decide: bool,
    as_json: bool,
) -> None:
    """Run the recorded rewards, commands and traffic of ROUTE through the pure steps.

    Prints the digest of the state that comes out, and whether it is that of the newest control
    message: the same input gives the same state. Where the route has moved on meanwhile, the newest
    change that a reward decided is compared instead. Commands and traffic are placed between
    rewards by the times at which they were written; what came within the same millisecond may have
    been taken in another order.
    """
    from leverframe.agents.settings import load_settings
    from leverframe.schemas.errors import LeverframeError

    recorded = _Recorded(load_settings(config), route)
    from leverframe.streams.learning.state import state_digest

    state = recorded.state(until, until_reward, and_decide=and_decide)
    if state is None:
        raise LeverframeError(f"nothing was recorded for route {route!r}")
    digest = state_digest(state)
    live = recorded.newest.state_digest if recorded.newest is not None else None
    if as_json:
        _print_json(recorded, state, digest, live)
        return
    told_of = printable(str(state.champion))
    click.echo(f"{len(recorded.records):,} records, epoch {state.epoch}, champion {told_of}")
    for name, arm in state.arms.items():
        click.echo(
            printable(_arm_line(name, arm, state.weights.get(name, 0.0), recorded.recent(arm)))
        )
    is_part = until is not None or until_reward is not None
    compared = "" if is_part or live is None else recorded.beside_newest(digest)
    click.echo(f"state digest {digest}{printable(compared)}")


class _Recorded:
    """What was read of a route, and what the job has published of it."""

    def __init__(self, settings: Any, route: str) -> None:
        self._settings = settings
        self._route = route
        self.records, self.newest = self._run(self._read)
        # Heavy, and not needed to say that a topic is missing.
        from leverframe.agents.operator.actors import require_keys
        from leverframe.agents.worker.learning import input_kinds
        from leverframe.streams.routes.route import compile_routes

        self._routes = compile_routes(settings.routes, settings.actors)
        require_keys(self._routes.authority)
        self._kinds = input_kinds(settings)

    def state(
        self,
        until: int | None = None,
        until_reward: int | None = None,
        *,
        and_decide: bool = False,
    ) -> Any:
        """Return the state that the records come to; None when there is none."""
        from leverframe.agents.operator.replay import replay as run

        states = run(
            self.records,
            self._routes,
            self._kinds,
            max_value_bytes=self._settings.app.max_value_bytes,
            until_ms=until,
            until_reward=until_reward,
            and_decide=and_decide,
        )
        return states.get(self._route)

    def recent(self, arm: Any) -> Any:
        """Return what the newest labels of an arm say, as in control messages; None without any."""
        from leverframe.streams.learning.recent_mean import recent_evidence

        route = self._routes.get(self._route)
        return None if route is None else recent_evidence(arm, route.settings.bucket_ms)

    def beside_newest(self, digest: str) -> str:
        """Compare with the newest control message, or with one that the records reach for sure."""
        from leverframe.streams.learning.state import state_digest

        newest = self.newest
        if digest == newest.state_digest:
            return ", as the newest control message"
        differs = f", the newest control message has {newest.state_digest}"
        if not self._has_moved_on():
            return f"{differs}: the replay comes to another state"
        moved = f"; the state has moved on ({newest.epoch}.{newest.seq} has {newest.state_digest})"
        fixed = self._run(self._newest_exact)
        if fixed is None:
            return f"{moved}; compare again when the traffic rests"
        message, offset = fixed
        again = f"leverframe replay {self._route} --until-reward {offset}"
        there = state_digest(self.state(until_reward=offset))
        version = f"{message.epoch}.{message.seq}"
        if there == message.state_digest:
            return f"{moved}. At {version} both had {there} ({again})"
        return f"{moved}. At {version} it had {message.state_digest}, the replay {there} ({again})"

    def _run(self, work: Any) -> Any:
        topics = self._settings.topic_names
        wanted = (topics.rewards, topics.commands, topics.traffic, topics.control)
        return run_connected(self._settings, wanted, work, counted=True)

    async def _read(self) -> tuple[Sequence[Any], Any]:
        from leverframe.agents.operator.control import newest_messages
        from leverframe.agents.operator.replay import read_partition

        records = await read_partition(self._settings, self._route)
        return records, (await newest_messages(self._settings)).get(self._route)

    def _has_moved_on(self) -> bool:
        """Whether what was read lies beyond the newest message, or did not reach it."""
        from leverframe.agents.operator.replay import is_later, read_partition

        rewards = self._settings.topic_names.rewards
        if any(is_later(record, self.newest, rewards) for record in self.records):
            return True
        again = self._run(lambda: read_partition(self._settings, self._route))
        return len(again) > len(self.records)

    async def _newest_exact(self) -> tuple[Any, int] | None:
        """The newest message that a reward decided which was read, and that reward's offset."""
        from leverframe.agents.cli.explain import recorded
        from leverframe.agents.operator.replay import decided_at

        rewards = self._settings.topic_names.rewards
        reached = max((r.offset for r in self.records if r.topic == rewards), default=-1)
        for message in reversed(await recorded(self._settings, self._route, None, _LOOKED_AT)):
            offset = decided_at(message)
            if offset is not None and offset <= reached:
                return message, offset
        return None


def _print_json(recorded: _Recorded, state: Any, digest: str, live: str | None) -> None:
    import msgspec
    import orjson

    from leverframe.policies.units import NANO

    told = {
        "route": state.route,
        "records": len(recorded.records),
        "digest": digest,
        "live_digest": live,
        "epoch": state.epoch,
        "champion": state.champion,
        "weights": state.weights,
        "arms": {
            name: {
                "labels": arm.count,
                "reward_sum": arm.sum_nano / NANO,
                "recent": recorded.recent(arm),
                "phase": arm.phase,
            }
            for name, arm in state.arms.items()
        },
    }
    click.echo(printable(orjson.dumps(told, default=msgspec.to_builtins).decode()))


def _arm_line(name: str, arm: Any, weight: float, recent: Any) -> str:
    from leverframe.policies.units import NANO

    mean = f"{arm.sum_nano / NANO / arm.count:.6f}" if arm.count else "-"
    late = "" if recent is None else f", of late {recent.mean:.6f} of {recent.labels:,}"
    return f"  {name}: {arm.phase}, weight {weight:.4f}, {arm.count:,} labels, mean {mean}{late}"
