"""Rollbacks reach a webhook: signed, again after it was away, never twice in peace."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from harness import Deployment
from patience import PATIENCE_S

from leverframe.agents.operator.commands import ask
from leverframe.agents.worker.notices import signature_of

pytestmark = pytest.mark.broker

KEY = "shared"


class Webhook:
    """Refuses the first posts with what it was told to, and keeps the others."""

    def __init__(self, *refusals: int) -> None:
        self.refusals = list(refusals)
        self.tries: list[str] = []
        self.taken: asyncio.Queue[tuple[Any, dict[str, str], bytes]] = asyncio.Queue()

    async def post(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.tries.append(request.headers["Leverframe-Id"])
        if self.refusals:
            return web.Response(status=self.refusals.pop(0))
        self.taken.put_nowait((orjson.loads(body), dict(request.headers), body))
        return web.Response(status=204)


@asynccontextmanager
async def listening(hook: Webhook) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hook", hook.post)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook"))


async def order(deployment: Deployment, action: Any, arm: str, route: str = "r") -> Any:
    return await ask(
        deployment.settings, route, action, arm=arm, params=None, actor="ada", timeout_s=PATIENCE_S
    )


async def is_following(deployment: Deployment, section: str = "notifications") -> None:
    """Until the group of the notifications has committed: it begins at the topic's end."""
    settings = deployment.settings
    group = f"{settings.topics.prefix}{settings.app.id}-{section}"
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker.servers)
    await admin.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            committed = 0
            while committed < settings.topics.route_partitions:
                with suppress(GroupCoordinatorNotAvailableError):  # a broker's first group
                    committed = len(await admin.list_consumer_group_offsets(group))
                await asyncio.sleep(0.1)
    finally:
        await admin.close()


def test_a_rollback_is_told_once_the_webhook_is_back(deploy: Callable[..., Any]) -> None:
    """503, then 429, then taken: one notification, signed, with the evidence."""

    async def scenario() -> None:
        hook = Webhook(503, 429)
        async with listening(hook) as url:
            deployment = await deploy(
                LEVERFRAME_NOTIFICATIONS__URL=url, LEVERFRAME_NOTIFICATIONS__KEY=KEY
            )
            deployment.start()
            await is_following(deployment)
            for arm in ("a", "b"):
                await order(deployment, "register_arm", arm)
            answer = await order(deployment, "rollback", "b")
            told, headers, body = await asyncio.wait_for(hook.taken.get(), PATIENCE_S)
            version = f"r/{answer.message.epoch}.{answer.message.seq}"
            assert hook.tries == [version] * 3
            assert told["event"] == "rollback"
            assert "command rollback b by ada" in told["text"]
            assert told["message"]["quarantined"] == ["b"]
            signature = headers["Leverframe-Signature"]
            at_s = int(signature.partition(",")[0].removeprefix("t="))
            assert signature == signature_of(body, KEY, at_s)
            assert url not in deployment.log()

    asyncio.run(scenario())


@pytest.mark.drill
def test_a_killed_worker_loses_no_notification(deploy: Callable[..., Any]) -> None:
    """The webhook is away, the worker is killed: its heir tells. A refusal for good is left."""

    async def scenario() -> None:
        hook = Webhook(*[503] * 1000)
        async with listening(hook) as url:
            deployment = await deploy(
                LEVERFRAME_NOTIFICATIONS__URL=url, LEVERFRAME_NOTIFICATIONS__FORMAT="slack"
            )
            worker = deployment.start()
            await is_following(deployment)
            for arm in ("a", "b", "c"):
                await order(deployment, "register_arm", arm)
            await order(deployment, "rollback", "b")
            async with asyncio.timeout(PATIENCE_S):
                while not hook.tries:
                    await asyncio.sleep(0.05)
            worker.kill()
            worker.wait()
            hook.refusals[:] = []
            deployment.start()
            told, _, _ = await asyncio.wait_for(hook.taken.get(), PATIENCE_S)
            assert told["text"].startswith("[rollback] r: ")
            hook.refusals[:] = [410]
            await order(deployment, "rollback", "c")
            await order(deployment, "release", "c")
            await order(deployment, "rollback", "c")
            await asyncio.wait_for(hook.taken.get(), PATIENCE_S)
            assert len(set(hook.tries)) == 3

    asyncio.run(scenario())


@pytest.mark.drill
def test_a_page_ends_though_the_worker_that_opened_it_is_gone(deploy: Callable[..., Any]) -> None:
    """Opened by one worker, which is killed; once the arm is released its heir resolves it."""

    async def scenario() -> None:
        hook = Webhook()
        async with listening(hook) as url:
            deployment = await deploy(
                LEVERFRAME_PAGING__URL=url,
                LEVERFRAME_PAGING__FORMAT="pagerduty",
                LEVERFRAME_PAGING__KEY=KEY,
                LEVERFRAME_PAGING__EVENTS='["rollback"]',
                LEVERFRAME_ROUTES__R__TTL_S="3",
            )
            worker = deployment.start()
            await is_following(deployment, "paging")
            for arm in ("a", "b"):
                await order(deployment, "register_arm", arm)
            await order(deployment, "rollback", "b")
            opened, _, _ = await asyncio.wait_for(hook.taken.get(), PATIENCE_S)
            assert (opened["event_action"], opened["routing_key"]) == ("trigger", KEY)
            assert opened["payload"]["summary"].startswith("r: command rollback b by ada")
            worker.kill()
            worker.wait()
            deployment.start()
            await order(deployment, "release", "b")
            async with asyncio.timeout(PATIENCE_S):
                # At least once: what the first had not committed is told again.
                while (told := (await hook.taken.get())[0])["event_action"] != "resolve":
                    assert told == opened
            assert told["dedup_key"] == opened["dedup_key"]
            assert opened["dedup_key"].endswith("leverframe/r/rollback")
            assert KEY not in deployment.log()

    asyncio.run(scenario())
