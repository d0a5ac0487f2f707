"""The evidence of a route in a real Chromium, over a made-up history: no broker, no job."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from browser import Watched, browsing
from measured import measured, measured_record
from playwright.async_api import expect
from records import MAX_VALUE_BYTES, T0, learning_runs, reward_record, routes

from leverframe.agents.operator.in_shadow import in_shadow
from leverframe.agents.settings import load_settings
from leverframe.agents.web.feed import Feed
from leverframe.agents.web.pages import add_dashboard, protect
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.metrics import MetricSettings

pytestmark = pytest.mark.timeout(120)

MINUTE_MS = 60_000
MINUTES = 30
BREAK_AT = 24

# How far down the chart of rewards, 0 to 1, each of some colours is drawn.
LOWEST_LINES = """
(colours) => {
  const canvas = document.querySelectorAll('canvas')[1];
  const { width, height } = canvas;
  const pixels = canvas.getContext('2d').getImageData(0, 0, width, height).data;
  return colours.map((hex) => {
    const wanted = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    for (let at = pixels.length - 4; at >= 0; at -= 4) {
      const isWanted = wanted.every((value, part) => Math.abs(pixels[at + part] - value) < 12);
      if (isWanted && pixels[at + 3] > 200) return Math.floor(at / 4 / width) / height;
    }
    return 0;
  });
}
"""
# Boxes that must be scrolled sideways to be read, and cells that end outside the window.
STICKING_OUT = """
[...document.querySelectorAll('main *')].filter((one) => {
  const isCell = one.matches('td, button, p') && one.checkVisibility();
  const isCut = one.matches('.tall, .scroll, .told') && one.scrollWidth > one.clientWidth;
  return isCut || (isCell && one.getBoundingClientRect().right > innerWidth);
}).map((one) => one.outerHTML.slice(0, 80))
"""


def tell(feed: Feed) -> None:
    """Half an hour of two arms, 20 labels a second; the better one breaks in its last minutes."""
    rng, table = random.Random(3), routes()
    states: dict[str, RouteState] = {}
    route = table.get("r")
    assert route is not None
    begin = time.time_ns() // 1_000_000 - MINUTES * MINUTE_MS - T0
    for step in range(6 * MINUTES):
        rate = {"arm-a": 0.7, "arm-b-with-a-long-name": 0.9 if step < 6 * BREAK_AT else 0.2}
        at = begin + step * 10_000
        batch = [
            reward_record(arm, float(rng.random() < rate[arm]), at + 50 * i)
            for i, arm in enumerate(rng.choices(list(rate), k=200))
        ]
        outcome = learn(learning_runs(batch), states, table, max_value_bytes=MAX_VALUE_BYTES)
        states |= outcome.states
        for message in outcome.control:
            feed.history.note(message)
        feed.history.note(heartbeat(states["r"], route, T0 + at + 10_000))
    feed.share_read = 1.0


def tell_in_shadow(feed: Feed) -> None:
    """Five minutes of an arm that serves and one in shadow, which is not yet proved."""
    rng, metrics = random.Random(3), {"ms": MetricSettings(role="signal", range=(0, 2000))}
    table = routes(label_depends_on_answer=False, shadow_share=1.0, metrics=metrics)
    states: dict[str, RouteState] = {}
    route = table.get("r")
    assert route is not None
    begin = time.time_ns() // 1_000_000 - 5 * MINUTE_MS - T0
    for step in range(300):
        at, name = begin + step * 1_000, f"q{step}"
        beside = float(rng.random() < 0.81)
        batch = [reward_record("serving", float(rng.random() < 0.8), at, request_id=name)]
        if step:
            told = {"served": False, "beside": "serving"}
            batch.insert(0, reward_record("new", beside, at, request_id=name, **told))
            batch[1] = reward_record(
                "serving", float(rng.random() < 0.8), at, request_id=name, others={"new": beside}
            )
        batch.append(measured_record([measured("serving", at, ms=112.0)]))
        outcome = learn(learning_runs(batch), states, table, max_value_bytes=MAX_VALUE_BYTES)
        states |= outcome.states
        for message in outcome.control:
            feed.history.note(message)
        feed.history.note(heartbeat(states["r"], route, T0 + at + 1_000))
    feed.share_read = 1.0


@asynccontextmanager
async def shown(
    width: int, story: Callable[[Feed], None] = tell
) -> AsyncIterator[tuple[Watched, Any]]:
    """Open the page of the route."""
    settings = load_settings(None, {"LEVERFRAME_BROKER": "127.0.0.1:1"})
    app, feed = web.Application(), Feed(settings)
    protect(app, settings)
    add_dashboard(app, feed, settings)
    story(feed)
    async with (
        TestServer(app) as server,
        browsing(width=width, height=844 if width < 500 else 900) as watched,
    ):
        await watched.page.goto(str(server.make_url("/")) + "#/route/r")
        await expect(watched.page.locator("canvas")).to_have_count(2)
        yield watched, feed


def test_a_break_shows_in_the_mean_of_late() -> None:
    """The mean of a long life is still high; that of the newest labels is where it broke to."""

    async def look() -> None:
        async with shown(1440) as (watched, feed):
            page = watched.page
            known = feed.history.routes["r"].newest.cause["arms"]["arm-b-with-a-long-name"]
            recent, life = known["recent"]["mean"], known["mean"]
            assert recent < 0.3
            assert life > 0.7
            arms = page.get_by_role("region", name="Arms")
            await expect(arms.get_by_role("columnheader", name="of late")).to_be_visible()
            row = arms.get_by_role("row").filter(has_text="arm-b-with-a-long-name")
            await expect(row).to_contain_text(f"{recent:.4f} of ")
            await expect(page.get_by_role("heading", name="Mean reward of late")).to_be_visible()
            blue, orange = await page.evaluate(LOWEST_LINES, ["#0072b2", "#e69f00"])
            assert orange > blue + 0.2
            await watched.shot("evidence-1440")

    asyncio.run(look())


def test_why_fits_on_a_phone_and_answers_in_sight() -> None:
    """Nothing is cut or scrolls sideways; whoever asks far below need not look for the answer."""

    async def look() -> None:
        async with shown(390) as (watched, _):
            page = watched.page
            assert await page.evaluate(STICKING_OUT) == []
            await watched.shot("evidence-390")
            await page.get_by_role("button", name="Why, at").last.click()
            told = page.locator(".told").first
            await expect(told).to_contain_text("was registered")
            await expect(told).to_be_in_viewport(ratio=0.9)
            assert await page.evaluate(STICKING_OUT) == []

    asyncio.run(look())


def test_an_arm_in_shadow_is_shown_like_any_other() -> None:
    """With one line more under its name, on a phone too; charts and table stand."""

    async def look(width: int) -> None:
        async with shown(width, tell_in_shadow) as (watched, feed):
            page = watched.page
            evidence = feed.history.routes["r"].newest.cause["arms"]["new"]
            assert evidence["phase"] == "shadow"
            row = page.get_by_role("region", name="Arms").get_by_role("row").filter(has_text="new")
            await expect(row).to_contain_text(in_shadow(evidence))
            await expect(row).to_contain_text("in shadow: 299 pairs")
            arms = page.get_by_role("region", name="Arms")
            await expect(arms).to_contain_text("ms: mean 112 of 300 requests")
            assert await page.evaluate(STICKING_OUT) == []
            await watched.shot(f"in-shadow-{width}")

    asyncio.run(look(1440))
    asyncio.run(look(390))
