"""Drills on brokers and the network, with three brokers and replication 3."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from patience import PATIENCE_S

from drills.cluster import Cluster
from drills.drill import Drill, Stage
from drills.fleet import until

__all__ = ["drills_on"]


async def _flows(stage: Stage, what: str) -> None:
    """Wait until every partition makes progress again."""
    stage.pauses.reset()
    before = dict(stage.pauses.ends)
    await until(
        lambda: all(stage.pauses.ends[tp] > end for tp, end in before.items()),
        PATIENCE_S,
        f"all partitions go on after {what}",
    )


async def _measured(stage: Stage, what: str) -> None:
    rest_s = stage.pauses.current_s()
    await _flows(stage, what)
    stage.notes["pause_s"] = max(stage.notes.get("pause_s", 0.0), rest_s)
    stage.injected(f"{what}, pause so far {rest_s:.1f} s")


def restart_brokers(cluster: Cluster) -> Callable[[Stage, int], Awaitable[None]]:
    """``kill -9`` a broker and start it again, one after another."""

    async def inject(stage: Stage, times: int) -> None:
        for number in range(times):
            node = cluster.nodes[number % len(cluster.nodes)]
            stage.pauses.reset()
            await node.stop(is_kill=True)
            await asyncio.sleep(stage.rng.uniform(0.0, 6.0))
            await node.start()
            await _measured(stage, f"broker {number % len(cluster.nodes) + 1} killed")

    return inject


def change_leaders(cluster: Cluster) -> Callable[[Stage, int], Awaitable[None]]:
    """A broker leaves in good order, others lead; it comes back and leads again."""

    async def inject(stage: Stage, times: int) -> None:
        names = stage.deployment.settings.topic_names
        topics = [names.predictions, names.rewards, names.attribution_changelog]
        moved = 0
        for number in range(times):
            node = cluster.nodes[number % len(cluster.nodes)]
            stage.pauses.reset()
            before = await cluster.leaders(topics)
            await node.stop(is_kill=False)
            after = await cluster.leaders(topics)
            moved += sum(after[tp] != leader for tp, leader in before.items())
            await node.start()
            await _returned(cluster, topics, number % len(cluster.nodes) + 1)
            await _measured(stage, f"leaders moved {moved} times")
        stage.notes["leaderships moved"] = moved

    return inject


async def _returned(cluster: Cluster, topics: list[str], node_id: int) -> None:
    for _ in range(600):
        if node_id in (await cluster.leaders(topics)).values():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"broker {node_id} does not lead again")


def cut_network(cluster: Cluster) -> Callable[[Stage, int], Awaitable[None]]:
    """Workers cannot reach one broker, or any, for less or more than the session time."""

    async def inject(stage: Stage, times: int) -> None:
        session_s = stage.place.session_s
        for number in range(times):
            proxies = cluster.proxies if number % 2 else [stage.rng.choice(cluster.proxies)]
            is_silent = number % 4 >= 2
            stage.pauses.reset()
            for proxy in proxies:
                (proxy.hang if is_silent else proxy.cut)()
            away_s = stage.rng.uniform(0.3, 2.0) * session_s
            # How long the cut lasts is the injection.
            await asyncio.sleep(away_s)
            for proxy in proxies:
                proxy.mend()
            how = "silent" if is_silent else "cut"
            await _measured(stage, f"{len(proxies)} of 3 brokers {how} for {away_s:.1f} s")

    return inject


def slow_network(cluster: Cluster) -> Callable[[Stage, int], Awaitable[None]]:
    """Every piece of data between workers and brokers is late."""

    async def inject(stage: Stage, times: int) -> None:
        for _ in range(times):
            delay_s = stage.rng.uniform(0.02, 0.3)
            for proxy in cluster.proxies:
                proxy.delay_s = delay_s
            await asyncio.sleep(stage.place.session_s * 2)
            for proxy in cluster.proxies:
                proxy.mend()
            await _measured(stage, f"{delay_s * 1000:.0f} ms each way")

    return inject


def drills_on(cluster: Any) -> dict[str, Drill]:
    """Return the drills of this module, by name."""
    drills = (
        Drill("broker-kill", restart_brokers(cluster)),
        Drill("leader-change", change_leaders(cluster)),
        Drill("network-cut", cut_network(cluster)),
        Drill("network-slow", slow_network(cluster)),
    )
    return {drill.name: drill for drill in drills}
