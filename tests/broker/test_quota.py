"""One route floods the job and has a quota: it is held to it and told; other routes count all."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from estate import run
from harness import Deployment, read_all
from patience import eventually
from records import label_record, prediction_record

from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.reward import Reward

pytestmark = pytest.mark.broker

REQUESTS = 400
QUOTA = {
    "LEVERFRAME_ROUTES__FLOOD__MAX_REQUESTS_PER_S": "1",
    "LEVERFRAME_ROUTES__CALM__WINDOW_S": "3600",
}


async def _send(deployment: Deployment) -> None:
    """All predictions, then all labels, of a flooded route and of a quiet one."""
    topics = deployment.settings.topic_names
    routes = [(f"{route}{at}", route) for at in range(REQUESTS) for route in ("flood", "calm")]
    producer = AIOKafkaProducer(bootstrap_servers=deployment.settings.broker.servers, linger_ms=5)
    await producer.start()
    try:
        for request_id, route in routes:
            record = prediction_record(request_id, route=route)
            await producer.send(topics.predictions, record.value, key=record.key)
        await producer.flush()
        for request_id, _ in routes:
            label = label_record(request_id, 1)
            await producer.send(topics.ground_truth, label.value, key=label.key)
    finally:
        await producer.stop()


def test_a_flood_is_held_to_its_quota_and_told(deploy: Callable[..., Any]) -> None:
    """The quiet route counts all; of the other one as many as it may, on every surface."""

    async def scenario() -> None:
        deployment = await deploy(**QUOTA)
        deployment.start()
        await _send(deployment)
        settings = deployment.settings
        where = settings.broker.servers, settings.topic_names, settings.topics.route_partitions

        async def heartbeats() -> dict[str, dict[str, Any]]:
            records = await read_all(where[0], where[1].control, where[2])
            read = [decode(ControlMessage, record.value) for record in records]
            return {one.route: one.cause["joins"] for one in read if "joins" in one.cause}

        seen: dict[str, Any] = {}

        async def joined() -> dict[str, dict[str, Any]] | None:
            found = await heartbeats()
            seen.update(found)
            calm, flood = found.get("calm", {}), found.get("flood", {})
            settled = flood.get("labelled", 0) + flood.get("not_shown", 0)
            is_all = calm.get("labelled") == REQUESTS and settled == REQUESTS
            return found if is_all else None

        found = await eventually(joined, lambda: f"all labels have met: {seen}")
        counted, over = found["flood"]["labelled"], found["flood"]["over_quota"]
        assert counted + over == REQUESTS
        assert 0 < counted < REQUESTS / 2
        assert "over_quota" not in found["calm"]
        rewards = [
            decode(Reward, record.value)
            for record in await read_all(where[0], where[1].rewards, where[2])
        ]
        by_route = [sum(one.route == route for one in rewards) for route in ("calm", "flood")]
        assert by_route == [REQUESTS, counted]
        assert "max_requests_per_s were not counted" in deployment.log()
        status = await asyncio.to_thread(run, deployment, "status", "flood")
        assert f"{over:,} requests beyond max_requests_per_s were not counted" in status.stdout
        doctor = await asyncio.to_thread(run, deployment, "doctor")
        assert "over_quota: requests beyond its max_requests_per_s" in doctor.stdout

    asyncio.run(scenario())
