"""Routes' settings while the job runs, on a real broker: new routes, drift, kills, the replay."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from harness import Deployment, Script, control_messages, produce, settled_states, wait_for_count
from patience import PATIENCE_S, eventually

from leverframe.agents.operator.replay import read_partition, replay
from leverframe.agents.operator.topics import read_to_end
from leverframe.agents.settings import load_settings
from leverframe.agents.worker.learning import input_kinds
from leverframe.streams.learning.state import state_digest
from leverframe.streams.routes.route import compile_routes

pytestmark = pytest.mark.broker

WRITTEN = """
[routes.route-0]
policy = "ucb"
"""
WANTED = """
[routes.route-0]
policy = "thompson"
ttl_s = 77

[routes.route-1]
window_s = 600
"""


class Operator:
    """Somebody with a file of routes, beside a worker whose settings are another file."""

    def __init__(self, deployment: Deployment, config: Path, file: Path) -> None:
        self._deployment, self._config, self._file = deployment, config, file

    async def run(self, *words: str, file: str = "") -> Any:
        """Run a command; on the file of routes where it has a text."""
        said = list(words)
        if file:
            self._file.write_text(file)
            said.insert(1, str(self._file))
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "leverframe.agents.cli.main", *said, "-c", str(self._config)],
            env={**os.environ, **self._deployment.environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


async def number_of_commands(deployment: Deployment) -> int:
    topics = deployment.settings.topic_names
    count = deployment.settings.topics.route_partitions
    tps = [TopicPartition(topics.commands, partition) for partition in range(count)]
    found = await read_to_end(deployment.settings.broker, tps)
    return sum(b'"configure"' in (record.value or b"") for record in found)


def test_routes_are_applied_to_a_running_job(deploy: Callable[..., Any], tmp_path: Path) -> None:
    """A new route counts at once, drift has its exit code, and a kill loses nothing of it."""
    config = tmp_path / "worker.toml"
    config.write_text(WRITTEN)

    async def drill() -> None:
        deployment = await deploy(LEVERFRAME_CONFIG=str(config))
        operator = Operator(deployment, config, tmp_path / "routes.toml")
        worker = deployment.start()
        await produce(deployment, Script(pairs=20, seed=1, routes=1), 400)
        await wait_for_count(deployment, 20)

        drift = await operator.run("plan", file=WANTED)
        assert drift.returncode == 1, drift.stderr
        assert '"ucb" -> "thompson"' in drift.stdout
        wrong = await operator.run("apply", "--yes", file=WANTED.replace("thompson", "tomson"))
        assert wrong.returncode == 2
        assert "routes.route-0.policy" in wrong.stderr
        assert await number_of_commands(deployment) == 0

        done = await operator.run("apply", "--yes", file=WANTED)
        assert done.returncode == 0, done.stderr
        assert "route-1: applied" in done.stdout
        none = await operator.run("plan", file=WANTED)
        assert none.returncode == 0, none.stdout
        assert await number_of_commands(deployment) == 2

        # The worker's file knows no route-1: without what was applied these were dead letters.
        await produce(deployment, Script(pairs=30, seed=2, routes=2), 400)
        states = await wait_for_count(deployment, 50)
        assert states["route-1"].labels > 0

        worker.send_signal(signal.SIGKILL)
        worker.wait()
        deployment.start()
        await produce(deployment, Script(pairs=30, seed=3, routes=2), 400)
        await wait_for_count(deployment, 80)

        async def bears_what_was_applied() -> bool:
            return (await control_messages(deployment))["route-0"][-1].ttl_ms == 77_000

        await eventually(bears_what_was_applied, "a message with what was applied")
        await is_replayed(deployment, config)

        await drifts(operator)
        await is_replayed(deployment, config)

    asyncio.run(drill())


async def drifts(operator: Operator) -> None:
    """A policy by hand is drift, and so is a route that the file lacks; doctor tells too."""
    by_hand = await operator.run("set-policy", "route-0", "ucb")
    assert by_hand.returncode == 0, by_hand.stderr
    overridden = json.loads((await operator.run("plan", "--json", file=WANTED)).stdout)
    (difference,) = overridden[0]["differences"]
    assert (difference["key"], difference["by_command"]) == ("policy", True)
    examined = await operator.run("doctor")
    assert "what was applied to it differs" in examined.stdout
    fewer = WANTED.partition("[routes.route-1]")[0]
    back = await operator.run("apply", "--yes", file=fewer)
    assert back.returncode == 0, back.stderr
    left = await operator.run("plan", file=fewer)
    assert left.returncode == 1
    assert "route-1: applied before" in left.stdout
    refused = await operator.run("apply", "--yes", "--prune", file=fewer)
    assert refused.returncode != 0
    assert "nothing to go back to" in refused.stderr


async def is_replayed(deployment: Deployment, config: Path) -> None:
    """Of the settings file alone, with what was applied where it was: the same digests."""
    settings = deployment.settings
    routes = compile_routes(load_settings(config, deployment.environment).routes)
    live = await settled_states(deployment)
    for route in ("route-0", "route-1"):
        records = await read_partition(settings, route)
        replayed = replay(
            records,
            routes,
            input_kinds(settings),
            max_value_bytes=settings.app.max_value_bytes,
        )
        assert state_digest(replayed[route]) == state_digest(live[route])
