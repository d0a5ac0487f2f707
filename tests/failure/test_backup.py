"""A cluster is lost: state goes to a file, and on elsewhere, with not one label twice."""

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from estate import pairs, rewards_of, run, send, steer, stop
from harness import Deployment, control_messages, wait_for_count
from patience import PATIENCE_S

from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward
from leverframe.streams.runtime.kafka import partition_of

pytestmark = pytest.mark.broker


async def mirror(old: Deployment, new: Deployment) -> None:
    """Copy the inputs, partition by partition, with their times, as MirrorMaker does."""
    servers = new.settings.broker.servers
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await producer.start()
    await consumer.start()
    was, now = old.settings.topic_names, new.settings.topic_names
    targets = {was.predictions: now.predictions, was.ground_truth: now.ground_truth}
    count = old.settings.topics.partitions
    tps = [TopicPartition(topic, p) for topic in targets for p in range(count)]
    consumer.assign(tps)
    await consumer.seek_to_beginning(*tps)
    ends = await consumer.end_offsets(tps)
    while any([await consumer.position(tp) < ends[tp] for tp in tps]):
        for tp, records in (await consumer.getmany(timeout_ms=100)).items():
            for one in records:
                await producer.send(
                    targets[tp.topic], one.value, one.key, tp.partition, one.timestamp
                )
    await producer.stop()
    await consumer.stop()


async def put(deployment: Deployment, topic: str, key: str, value: bytes, partition: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=deployment.settings.broker.servers)
    await producer.start()
    await producer.send_and_wait(topic, value, key.encode(), partition)
    await producer.stop()


async def halves(deployment: Deployment, names: list[str], *, labels: bool) -> None:
    topics = deployment.settings.topic_names
    for name in names:
        said = Prediction(request_id=name, route="r", arm="a", prediction=1, propensity=1.0)
        record = encode(GroundTruth(request_id=name, label=1) if labels else said)
        topic = topics.ground_truth if labels else topics.predictions
        place = partition_of(name.encode(), deployment.settings.topics.partitions)
        await put(deployment, topic, name, record, place)


async def left_behind(old: Deployment, file: Path) -> ControlMessage:
    """Count 30 labels, let 5 requests wait and one reward be unread, and export that."""
    worker = old.start()
    for arm in ("a", "b"):
        assert steer(old, "arm", "register", "r", arm).returncode == 0, old.logs()
    assert run(old, "rollback", "r", "b").returncode == 0
    await send(old, pairs("counted", 30))
    await halves(old, pairs("waiting", 5), labels=False)
    await wait_for_count(old, 30, PATIENCE_S)
    await stop(worker)
    before = (await control_messages(old))["r"][-1]
    unread = Reward(
        request_id="unread", route="r", arm="a", reward=1.0, predicted_at_ms=1,
        labelled_at_ms=2, attributed_at_ms=before.issued_at_ms,
    )  # fmt: skip
    place = partition_of(b"r", old.settings.topics.route_partitions)
    await put(old, old.settings.topic_names.rewards, "r", encode(unread), place)
    done = run(old, "state", "export", str(file))
    assert done.returncode == 0, done.stderr
    assert "r: 30 labels counted" in done.stdout
    assert "1 rewards and commands that are yet to be counted" in done.stdout
    return before


async def gone_on(new: Deployment, before: ControlMessage) -> None:
    """All is counted once: what was unread, what waited, what is new."""
    new.start()
    await wait_for_count(new, 31, PATIENCE_S)
    await halves(new, pairs("waiting", 5), labels=True)
    await send(new, pairs("fresh", 7))
    states = await wait_for_count(new, 43, PATIENCE_S)
    assert states["r"].arms["a"].count == 43
    assert states["r"].arms["b"].phase == "quarantined"
    told = [one.request_id for one in await rewards_of(new)]
    assert sorted(told) == sorted(["unread", *pairs("waiting", 5), *pairs("fresh", 7)])
    after = (await control_messages(new))["r"][-1]
    assert after.epoch > before.epoch
    assert after.quarantined == ["b"]


def test_state_goes_on_elsewhere_and_counts_nothing_twice(
    deploy: Callable[..., Any], broker: Any, unique_prefix: str, tmp_path: Path
) -> None:
    """Under another prefix, as on another cluster: inputs are mirrored with their times."""
    file = tmp_path / "backup" / "leverframe.state"
    home = tmp_path / "new"
    home.mkdir()

    async def drill() -> None:
        old = await deploy()
        before = await left_behind(old, file)
        new = await Deployment.create(broker.bootstrap, unique_prefix + "new-", home)
        try:
            await mirror(old, new)
            done = run(new, "state", "import", str(file), "--yes", "--actor", "ada")
            assert done.returncode == 0, done.stderr
            await gone_on(new, before)
            event = json.loads(run(new, "audit", "r", "--json").stdout.splitlines()[0])
            assert (event["action"], event["actor"]) == ("state import", "ada")
            await stop(new.workers[-1])
            again = run(new, "state", "import", str(file), "--yes")
            assert again.returncode == 1
            assert "have been counted before" in again.stderr
        finally:
            new.stop_all()

    asyncio.run(drill())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == [file.name]
