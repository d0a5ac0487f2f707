"""A page of the dashboard in a real Chromium: ``LEVERFRAME_BROWSER``, else the one on the path."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

from playwright.async_api import async_playwright

__all__ = ["open_page"]

_BROWSER: Final = os.environ.get("LEVERFRAME_BROWSER") or shutil.which("chromium")
_FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]


@asynccontextmanager
async def open_page(
    address: str,
    *,
    width: int = 1440,
    height: int = 1000,
    scheme: Literal["light", "dark"] = "light",
) -> AsyncIterator[Any]:
    """Open a page; the browser ends with it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_BROWSER, args=_FLAGS)
        page = await browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        try:
            await page.goto(address)
            yield page
        finally:
            await browser.close()
