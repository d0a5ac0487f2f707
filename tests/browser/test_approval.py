"""A promotion is approved in the page: it is proposed there, with its buttons, and then done."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from browser import browsing, find_browser
from harness import SHORT_SESSION
from patience import PATIENCE_S, eventually
from playwright.async_api import expect
from two_arms import Serving, newest

from leverframe.devbroker.ports import free_ports

pytestmark = pytest.mark.broker
TOKEN = "a-token-of-sixteen"  # noqa: S105 - known to all
_ROUTE = "LEVERFRAME_ROUTES__R__"
_LONG_MS = PATIENCE_S * 1000


@pytest.mark.drill
def test_a_proposed_promotion_is_approved_in_the_page(deploy: Callable[..., Any]) -> None:
    find_browser()
    (port,) = free_ports(1)

    async def scenario() -> None:
        deployment = await deploy(
            **SHORT_SESSION,
            LEVERFRAME_APP__WEB_PORT=str(port),
            LEVERFRAME_APP__WEB_TOKEN=TOKEN,
            **{
                _ROUTE + "POLICY": '{ name = "static", params = { weights = { a = 1.0 } } }',
                _ROUTE + "PROMOTE": "propose",
                _ROUTE + "TTL_S": "3",
            },
        )
        deployment.start()
        servers = deployment.settings.broker.servers
        async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer:
            serving = Serving(deployment, producer, 5)
            await serving.serve(1, 0.0, a=1.0, b=1.0)

            async def is_known() -> bool:
                return await newest(deployment) is not None

            await eventually(is_known, deployment.logs)
            await serving.serve(2000, 0.5, a=0.84, b=0.95)

        async def is_proposed() -> bool:
            message = await newest(deployment)
            return message is not None and "proposal" in message.cause

        await eventually(is_proposed, deployment.logs)
        async with browsing() as watched:
            page = watched.page
            await page.goto(f"http://127.0.0.1:{port}/#/route/r")
            await expect(page.locator("main")).to_contain_text(
                "b is proposed as champion until", timeout=_LONG_MS
            )
            await expect(page.locator("main")).to_contain_text("champion a, version")
            await page.get_by_role("button", name="Approve b").click()
            dialog = page.get_by_role("dialog")
            await expect(dialog).to_contain_text("approve b on r?")
            await dialog.get_by_label("Your name").fill("ada")
            await dialog.get_by_label("Token").fill(TOKEN)
            await dialog.get_by_role("button", name="Yes, approve").click()
            await expect(dialog).to_contain_text("Done: version", timeout=_LONG_MS)
            await dialog.get_by_role("button", name="Close").click()
            await expect(page.locator("main")).to_contain_text(
                "champion b, version", timeout=_LONG_MS
            )
            await expect(page.get_by_role("button", name="Approve b")).to_have_count(0)

        message = await newest(deployment)
        assert message is not None
        assert message.champion == "b"

        async def is_kept() -> bool:
            told = await newest(deployment)
            reigns = [] if told is None else told.cause.get("last_known_good", [])
            return [(one["arm"], one["successor"], one["approved_by"]) for one in reigns] == [
                ("a", "b", "ada (dashboard)")
            ]

        await eventually(is_kept, deployment.logs)

    asyncio.run(scenario())
