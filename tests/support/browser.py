"""A real Chromium, and a page of it that fails the test by what goes wrong in it."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S
from playwright.async_api import Page, async_playwright, expect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",
]
# Else 5 s, and a page on a busy machine is slow, not wrong.
expect.set_options(timeout=PATIENCE_S * 1000)

SHOTS = Path(os.environ.get("LEVERFRAME_SCREENSHOTS", "test-screenshots"))


def find_browser() -> str:
    """Return where a Chromium is; without one the test is skipped, in CI it fails."""
    found = os.environ.get("LEVERFRAME_BROWSER") or next(
        filter(None, map(shutil.which, NAMES)), None
    )
    if found is None:
        text = "no Chromium here: apt-get install chromium, or set LEVERFRAME_BROWSER"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(text)
    return found


class Watched:
    """A page, and what its console and its network said."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._asked)

    def _heard(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:")):
            self.elsewhere.append(request.url)

    async def shot(self, name: str) -> None:
        """Keep a picture of the whole page."""
        await self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


@asynccontextmanager
async def browsing(
    *, width: int = 1440, height: int = 900, scheme: str = "light"
) -> AsyncIterator[Watched]:
    """Open a page in a browser; in the end it had no problem and asked nobody else."""
    path = find_browser()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        context.set_default_timeout(PATIENCE_S * 1000)
        watched = Watched(await context.new_page())
        try:
            yield watched
        finally:
            await browser.close()
    assert not watched.problems
    assert not watched.elsewhere
