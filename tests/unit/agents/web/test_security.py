"""Who may ask the web server, and who may act through it: over real HTTP, without a job."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from control_records import T0, message

from leverframe.agents.settings import load_settings
from leverframe.agents.web.events import or_silence
from leverframe.agents.web.feed import Feed
from leverframe.agents.web.pages import add_dashboard, add_health, protect

TOKEN = "a-token-of-sixteen"  # noqa: S105 - known to all
NO_BROKER = {"LEVERFRAME_BROKER": "127.0.0.1:1"}

Client = TestClient[Any, Any]


@asynccontextmanager
async def serving(**environment: str) -> AsyncIterator[tuple[Client, Feed]]:
    settings = load_settings(None, {**NO_BROKER, **environment})
    app, feed = web.Application(), Feed(settings)
    protect(app, settings)
    add_health(app, lambda: "not yet")
    add_dashboard(app, feed, settings)
    feed.history.note(message(1, T0))
    feed.share_read = 1.0
    async with TestClient(TestServer(app)) as client:
        yield client, feed


def asked(ask: Callable[[Client, Feed], Awaitable[None]], **environment: str) -> None:
    async def run() -> None:
        async with serving(**environment) as (client, feed):
            await ask(client, feed)

    asyncio.run(run())


def with_token(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_pages_are_served_with_headers_that_keep_strangers_out() -> None:
    """The page, its scripts, and the chart library: from here alone, never in a frame."""

    async def ask(client: Client, _: Feed) -> None:
        for path in ("/", "/static/app.js", "/static/vendor/uplot/uPlot.esm.js", "/api/routes"):
            answer = await client.get(path)
            assert answer.status == 200, path
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        page = await (await client.get("/")).text()
        assert "http://" not in page
        assert "https://" not in page

    asked(ask)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:6066", "127.0.0.1.evil.example"])
def test_a_name_that_is_not_ours_is_refused(host: str) -> None:
    """An attacker's name that points at loopback gets nothing (DNS rebinding)."""

    async def ask(client: Client, _: Feed) -> None:
        for path in ("/", "/api/routes", "/health/live"):
            answer = await client.get(path, headers={"Host": host})
            assert answer.status == 421

    asked(ask)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "[::1]:80", "127.0.0.1", "ops.local:9"]
)
def test_our_names_are_answered(host: str) -> None:
    """Loopback's own and those that were set."""

    async def ask(client: Client, _: Feed) -> None:
        assert (await client.get("/health/live", headers={"Host": host})).status == 200

    asked(ask, LEVERFRAME_APP__WEB_HOSTS='["ops.local"]')


def test_commands_need_a_token() -> None:
    """Without, with a wrong one, from another site, or as a form: nothing is sent."""
    command = {"route": "r", "action": "freeze", "actor": "eve"}

    async def ask(client: Client, _: Feed) -> None:
        for headers, status, says in (
            ({}, 403, "token is wrong"),
            (with_token("wrong"), 403, "token is wrong"),
            (with_token() | {"Origin": "http://evil.example"}, 403, "not served here"),
            (with_token() | {"Content-Type": "text/plain"}, 415, "JSON"),
        ):
            sent: Any = {"data": "{}"} if status == 415 else {"json": command}
            answer = await client.post("/api/command", headers=headers, **sent)
            assert answer.status == status
            assert says in (await answer.json())["error"]

    asked(ask, LEVERFRAME_APP__WEB_TOKEN=TOKEN)


def test_commands_are_off_without_a_token_set() -> None:
    """An empty token opens nothing."""

    async def ask(client: Client, _: Feed) -> None:
        for token in ("", TOKEN):
            answer = await client.post("/api/command", headers=with_token(token), json={})
            assert answer.status == 403
            assert "switched off" in (await answer.json())["error"]

    asked(ask)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"route":"r","action":"set_policy","actor":"e","params":{}}',
        b'{"route":"r","action":"fly","actor":"e"}',
    ],
)
def test_what_is_no_command_is_refused(body: bytes) -> None:
    """With the reason."""

    async def ask(client: Client, _: Feed) -> None:
        headers = with_token() | {"Content-Type": "application/json"}
        answer = await client.post("/api/command", headers=headers, data=body)
        assert answer.status == 400
        assert (await answer.json())["error"]

    asked(ask, LEVERFRAME_APP__WEB_TOKEN=TOKEN)


def test_a_broker_that_is_away_is_told() -> None:
    """A command that cannot be sent is an error of the gateway, with the cure."""

    async def ask(client: Client, _: Feed) -> None:
        command = {"route": "r", "action": "freeze", "actor": "eve"}
        answer = await client.post("/api/command", headers=with_token(), json=command)
        assert answer.status == 502
        assert "127.0.0.1:1" in (await answer.json())["error"]

    asked(ask, LEVERFRAME_APP__WEB_TOKEN=TOKEN)


def test_what_is_asked_wrongly_is_told() -> None:
    """Routes that are not there, times that are none, health that is not ready."""

    async def ask(client: Client, _: Feed) -> None:
        answer = await client.get("/api/route?name=nope")
        assert answer.status == 404
        assert "nope" in (await answer.json())["error"]
        answer = await client.get("/api/explain?name=r&at_ms=yesterday")
        assert answer.status == 400
        answer = await client.get("/health/ready")
        assert answer.status == 503
        assert (await answer.json())["why"] == "not yet"
        assert (await client.get("/static/../pages.py")).status == 404

    asked(ask)


@pytest.mark.parametrize(("path", "status"), [("/health/live", 200), ("/api/routes", 421)])
def test_what_watches_over_the_process_asks_by_address(path: str, status: int) -> None:
    """Beyond loopback a probe names no host of ours; it gets the health, and no page."""

    async def ask(client: Client, _: Feed) -> None:
        answer = await client.get(path, headers={"Host": "10.1.2.3:6066"})
        assert answer.status == status

    environment = {"LEVERFRAME_APP__WEB_BIND": "0.0.0.0"}  # noqa: S104 - what is tested
    asked(ask, LEVERFRAME_APP__WEB_HOSTS='["ops.local"]', **environment)


def test_every_address_of_loopback_is_loopback() -> None:
    """Names are looked at on 127.0.0.2 as on 127.0.0.1."""

    async def ask(client: Client, _: Feed) -> None:
        answer = await client.get("/api/routes", headers={"Host": "evil.example"})
        assert answer.status == 421

    asked(ask, LEVERFRAME_APP__WEB_BIND="127.0.0.2")


def test_bytes_that_are_no_text_are_refused() -> None:
    """In the token and in the body: an answer with its reason, not a trace."""

    async def ask(client: Client, _: Feed) -> None:
        token = {"Authorization": b"Bearer \xff\xfe".decode("utf-8", "surrogateescape")}
        answer = await client.post("/api/command", headers=token, json={})
        assert answer.status == 403
        headers = with_token() | {"Content-Type": "application/json"}
        body = b'{"route":"\xff","action":"freeze","actor":"e"}'
        answer = await client.post("/api/command", headers=headers, data=body)
        assert answer.status == 400

    asked(ask, LEVERFRAME_APP__WEB_TOKEN=TOKEN)


def test_an_open_page_keeps_no_server_from_stopping() -> None:
    """It is told that this is the end; otherwise aiohttp waits a minute for it, twice."""

    async def scenario() -> float:
        async with serving() as (client, _):
            page = await client.get("/api/changes")
            assert (await page.content.readline()) == b"event: routes\n"
            began_s = time.monotonic()
        return time.monotonic() - began_s

    assert asyncio.run(scenario()) < 30


def test_live_updates_ask_proxies_not_to_gather_them() -> None:
    """Behind nginx an event would else come when a buffer is full."""

    async def ask(client: Client, _: Feed) -> None:
        async with client.get("/api/changes") as answer:
            assert answer.headers["X-Accel-Buffering"] == "no"

    asked(ask)


def test_an_open_page_hears_of_silence() -> None:
    """Nothing comes from the job, and the page is told that nothing does."""

    async def scenario() -> list[list[str]]:
        feed = Feed(load_settings(None, NO_BROKER))
        return [sorted(one) async for one in _first(3, or_silence(feed.changes(), 0.01))]

    assert asyncio.run(scenario()) == [[], [], []]


async def _first(count: int, source: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for one in source:
        yield one
        count -= 1
        if not count:
            return
