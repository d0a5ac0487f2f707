"""Labels of a producer that hashes keys differently, on a route that gives default rewards."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from harness import read_all
from patience import PATIENCE_S
from records import label_record, prediction_record

from leverframe.agents.doctor.partitioners import PARTITIONERS
from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlMessage

pytestmark = pytest.mark.broker

PREDICTIONS = 2_000
A_CLICK_IN = 5
CLICKS = {
    "LEVERFRAME_ROUTES__R__WINDOW_S": "2",
    "LEVERFRAME_ROUTES__R__DEFAULT_REWARD": "0",
}


def test_a_foreign_partitioner_raises_an_alarm_where_no_label_is_usual(
    deploy: Callable[..., Any],
) -> None:
    """Four in five predictions have no label by nature; three in four labels meet none of them."""

    async def scenario() -> None:
        deployment = await deploy(**CLICKS)
        deployment.start()
        settings, topics = deployment.settings, deployment.settings.topic_names
        place, partitions = PARTITIONERS["crc32"], settings.topics.partitions
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker.servers, linger_ms=5)
        await producer.start()
        for at in range(PREDICTIONS):
            record = prediction_record(f"q{at}")
            await producer.send(topics.predictions, record.value, key=record.key)
            if at % A_CLICK_IN == 0:
                label = label_record(f"q{at}", 1)
                assert label.key is not None
                await producer.send(
                    topics.ground_truth,
                    label.value,
                    key=label.key,
                    partition=place(label.key, partitions),
                )
        await producer.stop()

        async def messages() -> list[ControlMessage]:
            records = await read_all(
                settings.broker.servers, topics.control, settings.topics.route_partitions
            )
            return [decode(ControlMessage, record.value) for record in records]

        async def swept() -> int:
            joins = [message.cause.get("joins", {}) for message in await messages()]
            return max((one.get("nearby_orphan_label", 0) for one in joins), default=0)

        deadline_s = time.monotonic() + PATIENCE_S
        while await swept() < PREDICTIONS / A_CLICK_IN / 2:
            assert time.monotonic() < deadline_s, "labels that met nothing were not swept"
            await asyncio.sleep(0.5)
        alarms = [m.cause for m in await messages() if m.cause["why"].startswith("suspected")]
        assert alarms
        assert all(cause["orphan_label_share"] > 0.5 for cause in alarms)

    asyncio.run(scenario())
