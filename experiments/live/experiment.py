"""The experiment through Kafka, a worker and the control topic, compared with its replay.

Each run is a route of one worker. Labels go to several partitions, so the order inside a block is
the worker's; the replay takes it from the ``rewards`` topic, and must come to the same state.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import orjson
from aiokafka import AIOKafkaProducer

from leverframe.agents.settings import Settings, load_settings
from leverframe.experiments.datasets import load
from leverframe.experiments.demo.processes import running_worker
from leverframe.experiments.live.follow import Follower
from leverframe.experiments.live.route import LiveRoute
from leverframe.experiments.live.run import LiveResult, LiveRun
from leverframe.experiments.replay import STEP_MS
from leverframe.experiments.rewards import REWARDS_OF, named_reward, reward_matrix, unit_matrix
from leverframe.experiments.runs import Job
from leverframe.experiments.strategies import STRATEGIES, route_settings
from leverframe.experiments.table import DELAY, build_table
from leverframe.schemas.errors import LeverframeError
from leverframe.streams.runtime.kafka import client_options
from leverframe.streams.runtime.topic_admin import create_topics

__all__ = ["live_runs", "serve_live"]

_AT_ONCE: Final = 8
"""Routes served at a time: enough that the worker's waits overlap."""
_WINDOW_S: Final = 86_400.0
_TTL_S: Final = 6.0


def live_runs(job: Job, data_folder: Path | None) -> list[LiveRun]:
    """Train the models of a job, and say what is to be served."""
    table = build_table(
        load(job.data, job.seed, data_folder, job.plan.rows), chunks=job.plan.chunks, seed=job.seed
    )
    first = REWARDS_OF[job.data][0]
    named = named_reward(first, table.labels[: table.first])
    unit = unit_matrix(named)
    return [
        LiveRun(
            data=job.data,
            strategy=name,
            seed=job.seed,
            table=table,
            # Neither is in the state: the window outlasts the run, heartbeats come every 2 s.
            settings=msgspec.structs.replace(
                route_settings(STRATEGIES[name], named), window_s=_WINDOW_S, ttl_s=_TTL_S
            ),
            matrix=reward_matrix(named),
            beforehand=table.beforehand(unit, is_warm=STRATEGIES[name].is_warm),
            promotes=STRATEGIES[name].is_promoted,
        )
        for reward, name in job.runs
        if reward == first and STRATEGIES[name].policy
    ]


def serve_live(
    runs: Sequence[LiveRun],
    servers: str,
    folder: Path,
    *,
    advance: Callable[[], None],
    done: Callable[[LiveResult], None],
) -> None:
    """Serve all runs through one worker, which ends with them."""
    settings, environment = _settings(runs, servers, folder)
    asyncio.run(
        create_topics(settings.broker, settings.declared_topics(), settings.topics.replication)
    )
    log = folder / "worker.log"
    with running_worker(environment, log, keep=False) as worker:
        asyncio.run(_serve(runs, settings, lambda: _check(worker, log), advance, done))


def _check(worker: subprocess.Popen[bytes], log: Path) -> None:
    if worker.poll() is not None:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise LeverframeError(f"the worker ended with code {worker.returncode}:\n{tail}")


async def _serve(
    runs: Sequence[LiveRun],
    settings: Settings,
    check: Callable[[], None],
    advance: Callable[[], None],
    done: Callable[[LiveResult], None],
) -> None:
    # Kafka drops what is older than its retention and refuses what is ahead: all ends about now.
    longest = max(len(run.table.labels) for run in runs) + DELAY
    start_ms = time.time_ns() // 1_000_000 - longest * STEP_MS
    producer = AIOKafkaProducer(
        **client_options(settings.broker), linger_ms=2, enable_idempotence=True
    )
    await producer.start()
    places = asyncio.Semaphore(_AT_ONCE)

    async def serve(run: LiveRun, follower: Follower) -> None:
        async with places:
            began = time.monotonic()
            route = LiveRoute(run, follower, producer, settings.topic_names, start_ms)
            digest, arrivals = await route.serve(advance)
            seconds = time.monotonic() - began
            result = LiveResult(
                run=run,
                seconds=seconds,
                digest=digest,
                weights=np.array(route.weights),
                decisions=follower.views[run.route].decisions,
                replayed=await asyncio.to_thread(run.replayed, arrivals),
            )
        done(result)

    try:
        async with Follower(settings, [run.route for run in runs], check) as follower:
            await asyncio.gather(*(serve(run, follower) for run in runs))
    finally:
        await producer.stop()


def _settings(
    runs: Iterable[LiveRun], servers: str, folder: Path
) -> tuple[Settings, dict[str, str]]:
    """A settings file with a route for each run, as a user would write it."""
    config = folder / "leverframe.toml"
    lines = [f"{_toml(run.route)} = {_toml(msgspec.to_builtins(run.settings))}" for run in runs]
    config.write_text("[routes]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    environment = {
        "LEVERFRAME_CONFIG": str(config),
        "LEVERFRAME_BROKER": servers,
        "LEVERFRAME_TOPICS__PREFIX": f"live-{time.time_ns():x}-",
        "LEVERFRAME_APP__DATADIR": str(folder / "worker"),
        "LEVERFRAME_APP__WEB_PORT": "0",
    }
    return load_settings(config, {**os.environ, **environment}), environment


def _toml(value: Any) -> str:
    """Write a value as TOML inline: JSON but for tables, and there is no null to write."""
    if isinstance(value, dict):
        pairs = (
            f"{_toml(name)} = {_toml(item)}" for name, item in value.items() if item is not None
        )
        return "{ " + ", ".join(pairs) + " }"
    return orjson.dumps(value).decode()
