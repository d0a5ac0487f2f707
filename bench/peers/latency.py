"""How long a label takes through Kafka Streams: to its reward, and into the totals of its arm.

The load is that of ``bench.latency``. Totals are published at each commit and hold all labels
since the one before: "newest" is the delay of the label that came last, as for the control message
that a label decides; "every" is that of each label until totals that count it are visible.
"""

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer

from bench.peers.contender import Job, read_json_totals
from bench.peers.drain import DrainError
from bench.peers.kafka_streams.contender import streams
from bench.peers.process import Running, running
from bench.peers.scene import Scene, make_job
from bench.rig.load import Keyed, produce_at
from leverframe.agents.settings import load_settings
from leverframe.streams.runtime.topic_admin import create_topics

__all__ = ["COMMIT_MS", "delays", "measure_streams"]

COMMIT_MS: Final = (100, 20)
"""The default of exactly-once, and the fastest that helped: at 5 ms, commits got into each other's
way, and ``max.task.idle.ms=-1`` made nothing faster."""

_START_S: Final = 60.0
_LAST_S: Final = 2.0


class _Reward(msgspec.Struct, gc=False):
    route: str
    arm: str
    attributed_at_ms: float


class Seen(msgspec.Struct, gc=False):
    """What a consumer saw.

    Attributes
    ----------
    rewards : list of (str, float, float)
        Arm, label's record time and arrival, ms, in the order of the topic.
    totals : list of (str, int, float, float)
        Arm, count, newest label's record time and arrival, ms, in the order of the topic.
    """

    rewards: list[tuple[str, float, float]] = msgspec.field(default_factory=list)
    totals: list[tuple[str, int, float, float]] = msgspec.field(default_factory=list)


def delays(seen: Seen, from_ms: float) -> dict[str, list[float]]:
    """Work out how long labels took.

    Examples
    --------
    >>> seen = Seen([("a", 1.0, 3.0), ("a", 2.0, 3.0)], [("a", 2, 2.0, 5.0)])
    >>> delays(seen, 0)
    {'reward': [2.0, 1.0], 'totals, newest': [3.0], 'totals, every': [4.0, 3.0]}
    """
    times: defaultdict[str, list[float]] = defaultdict(list)
    for arm, at_ms, _ in seen.rewards:
        times[arm].append(at_ms)
    counted: defaultdict[str, int] = defaultdict(int)
    every = []
    for arm, count, _, arrived_ms in seen.totals:
        labels = times[arm][counted[arm] : count]
        every += [arrived_ms - at_ms for at_ms in labels if at_ms >= from_ms]
        counted[arm] = max(counted[arm], count)
    return {
        "reward": [arrived - at for _, at, arrived in seen.rewards if at >= from_ms],
        "totals, newest": [arrived - at for _, _, at, arrived in seen.totals if at >= from_ms],
        "totals, every": every,
    }


async def measure_streams(
    servers: str,
    load: Iterable[tuple[str, Keyed]],
    per_second: float,
    warm_up_s: float,
    commit_ms: int,
) -> Mapping[str, Any]:
    """Return latencies of Kafka Streams, exactly once, at a stated rate."""
    settings = load_settings(
        None,
        {"LEVERFRAME_BROKER": servers, "LEVERFRAME_TOPICS__PREFIX": f"l{time.time_ns()}-"},
    )
    await create_topics(settings.broker, settings.declared_topics(), 1)
    peer = streams(
        "streams-eos",
        "exactly_once_v2",
        1,
        commit_interval_ms=str(commit_ms),
        producer_linger_ms="0",
    )
    launcher = peer.prepare(print)
    with tempfile.TemporaryDirectory() as folder:
        where = Scene(settings=settings, pairs=0, expected={})
        job = await make_job(where, peer, Path(folder))
        topics = {"predictions": job.predictions, "labels": job.labels}
        with running(launcher(job), Path(folder) / "streams.log") as process:
            await _wait_until_running(process)
            seen = Seen()
            from_ms = (time.time() + warm_up_s) * 1000
            following = asyncio.create_task(_follow(servers, job, seen))
            try:
                named = ((topics[name], keyed) for name, keyed in load)
                await produce_at(servers, named, per_second)
                await asyncio.sleep(_LAST_S)
            finally:
                following.cancel()
                with suppress(asyncio.CancelledError):
                    await following
    return {kind: np.array(values) for kind, values in delays(seen, from_ms).items()}


async def _wait_until_running(process: Running) -> None:
    deadline_s = time.monotonic() + _START_S
    while "state RUNNING" not in process.last_words():
        if time.monotonic() > deadline_s or not process.is_running():
            raise DrainError(f"Kafka Streams did not start:\n{process.last_words()}")
        await asyncio.sleep(0.1)


async def _follow(servers: str, job: Job, seen: Seen) -> None:
    """Note what becomes visible, until cancelled."""
    decode = msgspec.json.Decoder(_Reward).decode
    async with AIOKafkaConsumer(
        job.rewards,
        job.aggregates,
        bootstrap_servers=servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=5,
    ) as consumer:
        while True:
            fetched = await consumer.getmany(timeout_ms=100)
            now_ms = time.time() * 1000
            for tp, records in fetched.items():
                for record in records:
                    if tp.topic == job.rewards:
                        reward = decode(record.value)
                        arm = f"{reward.route}/{reward.arm}"
                        seen.rewards.append((arm, reward.attributed_at_ms, now_ms))
                        continue
                    for arm, (count, _) in read_json_totals(record.key, record.value):
                        seen.totals.append((arm, count, record.timestamp, now_ms))
