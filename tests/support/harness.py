"""Runs real worker processes against a real broker, hurts them, and recounts from outside.

The oracle reads the topics only: pairs that were produced, rewards read committed, and the learning
changelog. It shares the codecs with the product, and no logic.
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from msgspec import structs
from patience import PATIENCE_S

from leverframe.agents.settings import Settings, load_settings
from leverframe.schemas.codec import decode, encode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.state import RouteState, decode_route
from leverframe.streams.runtime.topic_admin import create_topics

# Who is killed is missed after this time; a broker that is not ours may refuse less than 6 s.
SHORT_SESSION = (
    {} if os.environ.get("LEVERFRAME_BROKER") else {"LEVERFRAME_APP__SESSION_TIMEOUT_S": "3"}
)


@dataclass
class Deployment:
    """One application with topics of its own, and the workers that were started for it."""

    settings: Settings
    environment: dict[str, str]
    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    async def create(cls, servers: str, prefix: str, folder: Path, **more: str) -> "Deployment":
        environment = {
            "LEVERFRAME_BROKER": servers,
            "LEVERFRAME_TOPICS__PREFIX": prefix,
            "LEVERFRAME_APP__SESSION_TIMEOUT_S": "6",
            **more,
        }
        settings = load_settings(None, environment)
        await create_topics(
            settings.broker, settings.declared_topics(), settings.topics.replication
        )
        return cls(settings, environment, folder)

    def datadir(self, name: str) -> Path:
        return self.folder / name

    def start(
        self,
        name: str = "w",
        command: Sequence[str] = ("-m", "leverframe.agents.cli.main", "worker"),
        **more: str,
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, *command],
                env={
                    **os.environ,
                    **self.environment,
                    "LEVERFRAME_APP__DATADIR": str(self.datadir(name)),
                    **more,
                },
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    def log(self, name: str = "w") -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def logs(self) -> str:
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')[-3000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )

    def stop_all(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
                worker.wait()


@dataclass(frozen=True)
class Script:
    """What the producers send: pairs, some of them twice, labels early for some."""

    pairs: int
    seed: int
    routes: int = 5
    arms: int = 3
    duplicate_share: float = 0.05
    early_share: float = 0.2
    shadow_share: float = 0.0

    def is_shadowed(self, request_id: str) -> bool:
        """Whether another arm answers a request too, in shadow."""
        return self.shadow_share > 0 and zlib.crc32(request_id.encode()) % 1000 < (
            1000 * self.shadow_share
        )

    @property
    def shadows(self) -> int:
        """Requests that another arm answers too."""
        return sum(self.is_shadowed(f"{self.seed}-{i}") for i in range(self.pairs))

    @property
    def rewards(self) -> int:
        """Rewards that must come of it: of each served answer, and of each in shadow."""
        return self.pairs + self.shadows

    def events(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield (topic, key, value) in the order of arrival; nothing depends on the product."""
        rng = random.Random(self.seed)
        waiting: list[tuple[int, str, bytes, bytes]] = []
        for i in range(self.pairs):
            request_id = f"{self.seed}-{i}"
            prediction = Prediction(
                request_id=request_id,
                route=f"route-{i % self.routes}",
                arm=f"arm-{rng.randrange(self.arms)}",
                prediction=rng.randrange(2),
                propensity=1 / self.arms,
            )
            label = GroundTruth(request_id=request_id, label=rng.randrange(2))
            if self.is_shadowed(request_id):
                arm = f"arm-{(int(prediction.arm[4:]) + 1) % self.arms}"
                beside = structs.replace(prediction, arm=arm, propensity=None, served=False)
                event = "predictions", request_id.encode(), encode(beside)
                waiting.append((i + rng.randrange(100), *event))
            halves = [
                ("predictions", request_id.encode(), encode(prediction)),
                ("ground-truth", request_id.encode(), encode(label)),
            ]
            if rng.random() < self.early_share:
                halves.reverse()
            yield halves[0]
            waiting.append((i + rng.randrange(200), *halves[1]))
            if rng.random() < self.duplicate_share:
                waiting.append((i + rng.randrange(400), *rng.choice(halves)))
            due = [event for event in waiting if event[0] <= i]
            waiting = [event for event in waiting if event[0] > i]
            for event in due:
                yield event[1:]
        for event in waiting:
            yield event[1:]


async def produce(deployment: Deployment, script: Script, per_second: float) -> int:
    """Send a script open-loop; return the number of records."""
    topics = deployment.settings.topic_names
    names = {"predictions": topics.predictions, "ground-truth": topics.ground_truth}
    producer = AIOKafkaProducer(
        bootstrap_servers=deployment.settings.broker.servers, linger_ms=5, enable_idempotence=True
    )
    await producer.start()
    began = time.monotonic()
    sent = 0
    try:
        for topic, key, value in script.events():
            await producer.send(names[topic], value, key=key)
            sent += 1
            ahead = began + sent / per_second - time.monotonic()
            if ahead > 0.005:
                await asyncio.sleep(ahead)
    finally:
        await producer.stop()
    return sent


@asynccontextmanager
async def reader(servers: str, topic: str, partitions: int) -> AsyncIterator[Any]:
    """Give a read-committed consumer at the start of a topic."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, p) for p in range(partitions)])
        yield consumer
    finally:
        await consumer.stop()


async def read_all(servers: str, topic: str, partitions: int) -> list[Any]:
    """Read a topic, committed records only, to the end it has now."""
    async with reader(servers, topic, partitions) as consumer:
        tps = consumer.assignment()
        ends = await consumer.end_offsets(tps)
        records: list[Any] = []
        while not all([await consumer.position(tp) >= ends[tp] for tp in tps]):
            for part in (await consumer.getmany(timeout_ms=100)).values():
                records += part
        return records


async def wait_for_rewards(
    deployment: Deployment, count: int, patience_s: float = PATIENCE_S
) -> list[Reward]:
    """Read rewards until there are ``count``, or none came for a while."""
    settings = deployment.settings
    topic, partitions = settings.topic_names.rewards, settings.topics.route_partitions
    async with reader(settings.broker.servers, topic, partitions) as consumer:
        rewards: list[Reward] = []
        deadline = time.monotonic() + patience_s
        while len(rewards) < count and time.monotonic() < deadline:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                rewards += [decode(Reward, record.value) for record in records]
                deadline = time.monotonic() + patience_s
        return rewards


async def wait_for_count(
    deployment: Deployment, count: int, patience_s: float = PATIENCE_S
) -> dict[str, RouteState]:
    """Wait until the learning ledgers hold ``count`` labels; return their states."""
    deadline = time.monotonic() + patience_s
    while True:
        states = await route_states(deployment)
        arms = [arm for state in states.values() for arm in state.arms.values()]
        # Shadows count apart where labels depend on the answer, as in these deployments.
        total = sum(arm.count + arm.in_shadow[0] for arm in arms)
        if total >= count or time.monotonic() > deadline:
            return states


async def route_states(deployment: Deployment) -> dict[str, RouteState]:
    """Read the newest state of each route from the learning changelog."""
    settings = deployment.settings
    records = await read_all(
        settings.broker.servers,
        settings.topic_names.learning_changelog,
        settings.topics.route_partitions,
    )
    return {
        record.key.decode(): decode_route(record.value)
        for record in records
        if not record.key.startswith(b"\x00")
    }


async def settled_states(
    deployment: Deployment, patience_s: float = PATIENCE_S
) -> dict[str, RouteState]:
    """Read the states once no label waits for a decision, so that nothing moves them any more."""
    deadline = time.monotonic() + patience_s
    while True:
        states = await route_states(deployment)
        if not any(state.labels_since_decision for state in states.values()):
            return states
        assert time.monotonic() < deadline, f"labels wait for ever\n{deployment.logs()}"
        await asyncio.sleep(0.1)


async def control_messages(deployment: Deployment) -> dict[str, list[ControlMessage]]:
    """Read all control messages, in the order of each route."""
    settings = deployment.settings
    records = await read_all(
        settings.broker.servers, settings.topic_names.control, settings.topics.route_partitions
    )
    by_route = defaultdict(list)
    for record in records:
        by_route[record.key.decode()].append(decode(ControlMessage, record.value))
    return by_route


async def committed_lag(deployment: Deployment) -> int:
    """Records of the input topics beyond what the group has committed."""
    from aiokafka.admin import AIOKafkaAdminClient

    settings = deployment.settings
    topics = settings.topic_names
    counts = {
        topics.predictions: settings.topics.partitions,
        topics.ground_truth: settings.topics.partitions,
    }
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker.servers)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.broker.servers)
    await admin.start()
    await consumer.start()
    try:
        committed = await admin.list_consumer_group_offsets(topics.prefix + settings.app.id)
        tps = [TopicPartition(name, p) for name, n in counts.items() for p in range(n)]
        ends = await consumer.end_offsets(tps)
        return sum(
            end - (committed[tp].offset if tp in committed else 0) for tp, end in ends.items()
        )
    finally:
        await consumer.stop()
        await admin.close()


def recount(rewards: list[Reward]) -> dict[tuple[str, str], tuple[int, int]]:
    """Count rewards from scratch: (route, arm) to labels and sum in 1e-9."""
    counts: Counter[tuple[str, str]] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    for reward in rewards:
        assert reward.reward is not None
        counts[reward.route, reward.arm] += 1
        sums[reward.route, reward.arm] += round(reward.reward * 1e9)
    return {key: (counts[key], sums[key]) for key in counts}


def learned(
    states: dict[str, RouteState], *, in_shadow: bool = False
) -> dict[tuple[str, str], tuple[int, int]]:
    """What the ledger holds, in the same form, of what was served or of what was not."""
    found = {
        (route, name): tuple(arm.in_shadow) if in_shadow else (arm.count, arm.sum_nano)
        for route, state in states.items()
        for name, arm in state.arms.items()
    }
    return {key: (count, total) for key, (count, total) in found.items() if count or total}


def lose_disk(deployment: Deployment, name: str = "w") -> None:
    """Delete a worker's state folder."""
    shutil.rmtree(deployment.datadir(name), ignore_errors=True)


async def verify(
    deployment: Deployment, script: Script, patience_s: float = PATIENCE_S
) -> dict[str, Any]:
    """Compare everything with the oracle; raise if anything was lost or counted twice."""
    await wait_for_rewards(deployment, script.rewards, patience_s)
    states = await wait_for_count(deployment, script.rewards, patience_s)
    told = [
        decode(Reward, record.value)
        for record in await read_all(
            deployment.settings.broker.servers,
            deployment.settings.topic_names.rewards,
            deployment.settings.topics.route_partitions,
        )
    ]
    rewards = [reward for reward in told if reward.served]
    shadows = [reward for reward in told if not reward.served]
    in_shadow = Counter(reward.request_id for reward in shadows)
    assert len(shadows) == script.shadows, f"{len(shadows)} in shadow, not {script.shadows}"
    assert all(script.is_shadowed(name) for name in in_shadow)
    assert set(in_shadow.values()) <= {1}, "an answer in shadow was rewarded twice"
    assert learned(states, in_shadow=True) == recount(shadows)
    ids = Counter(reward.request_id for reward in rewards)
    expected = {f"{script.seed}-{i}" for i in range(script.pairs)}
    lost = expected - ids.keys()
    twice = [request_id for request_id, count in ids.items() if count > 1]
    assert not lost, f"{len(lost)} lost, such as {sorted(lost)[:3]}\n{deployment.logs()}"
    assert not twice, f"{len(twice)} twice, such as {twice[:3]}"
    assert ids.keys() == expected
    assert learned(states) == recount(rewards)
    for route, messages in (await control_messages(deployment)).items():
        order = [(message.epoch, message.seq) for message in messages]
        assert order == sorted(set(order)), f"(epoch, seq) does not rise strictly on {route}"
    return {"labels": len(rewards), "lost": 0, "twice": 0}
