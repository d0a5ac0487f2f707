"""What the dashboard reads back of a day that others wrote, on a real broker."""

import asyncio
import json
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner
from control_records import arms, message
from harness import Deployment
from msgspec.structs import replace
from patience import PATIENCE_S

from leverframe.agents.cli.main import cli
from leverframe.agents.web.feed import Feed
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.serving.tasks import end_task
from leverframe.streams.runtime.kafka import partition_of

pytestmark = pytest.mark.broker

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
ROUTES = [f"route-{at}" for at in range(6)]


def a_day(route: str, end_ms: int) -> list[ControlMessage]:
    """A heartbeat a minute; a rollback in the last hour, and one eighteen hours ago."""
    told, epoch, last = [], 1, {"why": "policy"}
    for seq, at_ms in enumerate(range(end_ms - 26 * HOUR_MS, end_ms, MINUTE_MS), 1):
        minutes_left = (end_ms - at_ms) // MINUTE_MS
        share = round(0.1 + 0.8 * seq / 1560, 6)
        rolls_back = minutes_left in {18 * 60, 30}
        epoch += rolls_back
        if rolls_back:
            last = {"why": "guard", "arm": "b" if minutes_left == 30 else "a"}
        cause = {"why": "heartbeat", "last_change": last, "arms": arms(a=share, b=0.5)}
        told.append(
            message(
                seq,
                at_ms,
                kind="rollback" if rolls_back else "heartbeat",
                epoch=epoch,
                weights={"a": share, "b": 1 - share},
                cause=last | {"arms": arms(a=share, b=0.5)} if rolls_back else cause,
                route=route,
            )
        )
    return told


async def write(deployment: Deployment, messages: list[ControlMessage], lag_ms: int = 0) -> None:
    settings = deployment.settings
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker.servers, compression_type="gzip")
    await producer.start()
    try:
        for one in messages:
            key = one.route.encode()
            await producer.send(
                settings.topic_names.control,
                encode(one),
                key=key,
                partition=partition_of(key, settings.topics.route_partitions),
                timestamp_ms=one.issued_at_ms + lag_ms,
            )
        await producer.flush()
    finally:
        await producer.stop()


@pytest.mark.parametrize("whole_records", [100_000, 600])
def test_a_day_is_read_back(deploy: Callable[..., Any], whole_records: int) -> None:
    """Whole, or sampled before the newest records: no gap, no rollback forgotten; then live."""

    async def scenario() -> None:
        deployment = await deploy()
        end_ms = time.time_ns() // 1_000_000
        days = [a_day(route, end_ms) for route in ROUTES]
        await write(deployment, [one for minute in zip(*days, strict=True) for one in minute])
        feed = Feed(deployment.settings, whole_records=whole_records)
        following = asyncio.create_task(feed.follow())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while feed.share_read < 1:
                    await asyncio.sleep(0.05)
            assert sorted(feed.history.routes) == ROUTES
            for known in feed.history.routes.values():
                columns = known.columns(0)
                at_ms = columns["at_ms"]
                assert at_ms[-1] - at_ms[0] > 23.8 * HOUR_MS
                assert max(two - one for one, two in pairwise(at_ms)) <= 11 * MINUTE_MS
                assert columns["weight"][0] == sorted(columns["weight"][0])
                marks = [mark.kind for mark in known.marks]
                assert marks[-2:] == ["rollback", "rollback"]
                assert known.rollback is not None
            changes = feed.changes()
            assert await anext(changes) == frozenset(ROUTES)
            fresh = message(5000, end_ms, epoch=9, kind="promotion", route="route-3")
            await write(deployment, [fresh])
            async with asyncio.timeout(PATIENCE_S):
                while feed.history.routes["route-3"].newest != fresh:
                    assert "route-3" in await anext(changes)
            await changes.aclose()
        finally:
            await end_task(following)

    asyncio.run(scenario())


def test_a_calm_route_is_sampled_beside_a_hot_one(deploy: Callable[..., Any]) -> None:
    """Between two of its heartbeats lie more decisions of the other than one fetch brings."""

    async def scenario() -> None:
        deployment = await deploy(LEVERFRAME_TOPICS__ROUTE_PARTITIONS="1")
        end_ms = time.time_ns() // 1_000_000
        calm = a_day("calm", end_ms)[-60:]
        busy = message(1, end_ms - HOUR_MS, kind="routing", route="hot")
        told = []
        for beat in calm:
            times_ms = range(beat.issued_at_ms + 1, beat.issued_at_ms + MINUTE_MS, MINUTE_MS // 900)
            told += [beat, *(replace(busy, issued_at_ms=at_ms) for at_ms in times_ms)]
        await write(deployment, told)
        feed = Feed(deployment.settings, whole_records=100)
        following = asyncio.create_task(feed.follow())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while feed.share_read < 1:
                    await asyncio.sleep(0.05)
            at_ms = feed.history.routes["calm"].columns(0)["at_ms"]
            assert at_ms[-1] - at_ms[0] > 50 * MINUTE_MS
            assert max(two - one for one, two in pairwise(at_ms)) <= 7 * MINUTE_MS
        finally:
            await end_task(following)

    asyncio.run(scenario())


def test_a_change_far_back_is_explained(deploy: Callable[..., Any]) -> None:
    """By the time at which it was issued, though it was written a minute later."""

    async def scenario() -> None:
        deployment = await deploy()
        end_ms = time.time_ns() // 1_000_000
        days = [a_day(route, end_ms) for route in ROUTES]
        await write(
            deployment, [one for minute in zip(*days, strict=True) for one in minute], MINUTE_MS
        )
        old, new = (one.issued_at_ms for one in days[2] if one.kind == "rollback")
        found = []
        for at_ms in (old, old + MINUTE_MS, new, None):
            command = ["explain", "route-2", "--json"]
            command += [] if at_ms is None else ["--at", str(at_ms)]
            shown = await asyncio.to_thread(
                CliRunner().invoke, cli, command, env=deployment.environment
            )
            assert shown.exit_code == 0, shown.output
            (change,) = json.loads(shown.output)
            found.append((at_ms, change["message"]["issued_at_ms"]))
        assert [issued for _, issued in found] == [old, old, new, new]

    asyncio.run(scenario())
