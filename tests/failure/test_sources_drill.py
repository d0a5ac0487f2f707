"""Workers that read sources are killed, frozen and moved, and lose their disks, under load."""

import asyncio
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from estates import deploy_estate, make_topics
from harness import SHORT_SESSION, Deployment, Script, lose_disk, read_all, verify
from patience import eventually

pytestmark = pytest.mark.broker

ESTATE = """
[sources.answers]
topic = "@answers"
kind = "prediction"
request_id = "said.request_id"
route = "said.route"
arm = "said.arm"
prediction = "said.prediction"
propensity = "said.propensity"

[sources.outcomes]
topic = "@outcomes"
kind = "ground-truth"
request_id = "said.request_id"
label = "said.label"
"""


async def send_wrapped(deployment: Deployment, script: Script, per_second: float) -> None:
    """Send a script to the topics of the estate, without keys, so that they go anywhere."""
    prefix = deployment.settings.topics.prefix
    names = {"predictions": f"{prefix}answers", "ground-truth": f"{prefix}outcomes"}
    producer = AIOKafkaProducer(
        bootstrap_servers=deployment.settings.broker.servers, linger_ms=5, enable_idempotence=True
    )
    await producer.start()
    began, sent = time.monotonic(), 0
    try:
        for topic, _, value in script.events():
            await producer.send(names[topic], orjson.dumps({"said": orjson.loads(value)}))
            sent += 1
            if (ahead := began + sent / per_second - time.monotonic()) > 0.005:
                await asyncio.sleep(ahead)
    finally:
        await producer.stop()


async def written_once(deployment: Deployment, script: Script) -> None:
    """Each record of the sources is one record of ours: none lost, none twice, none changed."""
    settings = deployment.settings
    for topic, name in (
        ("predictions", settings.topic_names.predictions),
        ("ground-truth", settings.topic_names.ground_truth),
    ):
        sent = Counter(key for own, key, _ in script.events() if own == topic)
        records = await read_all(settings.broker.servers, name, settings.topics.partitions)
        found = Counter(record.key for record in records)
        lost, twice = sent - found, found - sent
        assert not lost, f"{topic}: {lost.total()} lost, such as {[*lost][:3]}"
        assert not twice, f"{topic}: {twice.total()} twice, such as {[*twice][:3]}"


async def is_reading(deployment: Deployment, name: str) -> None:
    async def is_open() -> bool:
        return re.search(r"ingest-\S+-\d+: open", deployment.log(name)) is not None

    await eventually(is_open, lambda: deployment.log(name)[-3000:])


async def estate(deploy: Callable[..., Any], broker: Any, prefix: str, folder: Path) -> Deployment:
    # Counts that agree with nothing of ours.
    await make_topics(broker.bootstrap, [f"{prefix}answers"], 3)
    await make_topics(broker.bootstrap, [f"{prefix}outcomes"], 5)
    return await deploy_estate(deploy, prefix, folder, ESTATE, **SHORT_SESSION)


async def killed(deployment: Deployment, script: Script, kills: int, rate: float) -> None:
    """Kill a worker at random moments, every second time with its disk lost."""
    rng = random.Random(script.seed)
    sending = asyncio.create_task(send_wrapped(deployment, script, rate))
    try:
        for number in range(kills):
            worker = deployment.start()
            # A random moment is the point of this drill: from before the join to full flow.
            await asyncio.sleep(rng.uniform(0.5, 4.0))
            assert worker.poll() is None, deployment.log()[-3000:]
            worker.kill()
            worker.wait()
            if number % 2:
                lose_disk(deployment)
        deployment.start()
        await sending
    finally:
        sending.cancel()
    await verify(deployment, script)
    await written_once(deployment, script)


async def frozen(deployment: Deployment, script: Script, zombies: int, rate: float) -> None:
    """Freeze workers past their session, let another take over, and let them come back."""
    sending = asyncio.create_task(send_wrapped(deployment, script, rate))
    try:
        current = deployment.start("w0")
        await is_reading(deployment, "w0")
        for number in range(zombies):
            current.send_signal(signal.SIGSTOP)
            heir = deployment.start(f"w{number + 1}")
            await is_reading(deployment, f"w{number + 1}")
            current.send_signal(signal.SIGCONT)
            if heir.poll() is not None:
                # The zombie may fence the heir before it is fenced itself.
                heir = deployment.start(f"w{number + 1}")
            current = heir
        await sending
        if current.poll() is not None:
            deployment.start("last")
    finally:
        sending.cancel()
    await verify(deployment, script)
    await written_once(deployment, script)


def test_kills_and_lost_disks_lose_and_double_nothing(
    deploy: Callable[..., Any], broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """Three kills of a worker that reads sources, one with a lost disk: each record once."""

    async def drill() -> None:
        deployment = await estate(deploy, broker, unique_prefix, tmp_path)
        await killed(deployment, Script(pairs=6_000, seed=31, duplicate_share=0), 3, 1_500)

    asyncio.run(drill())


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_twenty_kills(
    deploy: Callable[..., Any], broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """The long form: 20 kills, ten of them with a lost disk: 0 lost, 0 twice."""

    async def drill() -> None:
        deployment = await estate(deploy, broker, unique_prefix, tmp_path)
        script = Script(pairs=60_000, seed=33, duplicate_share=0)
        await killed(deployment, script, 20, 2_000)
        print(f"20 kills, 10 disks lost: {script.pairs} pairs, 0 lost, 0 twice")

    asyncio.run(drill())


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_five_zombies(
    deploy: Callable[..., Any], broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """The long form: five workers frozen past their session, one after the other."""

    async def drill() -> None:
        deployment = await estate(deploy, broker, unique_prefix, tmp_path)
        script = Script(pairs=30_000, seed=34, duplicate_share=0)
        await frozen(deployment, script, 5, 800)
        print(f"5 zombies: {script.pairs} pairs, 0 lost, 0 twice")

    asyncio.run(drill())
