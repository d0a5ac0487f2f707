"""The documentation's site in a real Chromium, from this machine alone."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browser import browsing, find_browser
from doc_blocks import ROOT
from playwright.async_api import expect


class Quiet(SimpleHTTPRequestHandler):
    """Files, and no line for each."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Give the address of a site that was just built, as strictly as ``make site`` does."""
    find_browser()
    pages, trees = tmp_path / "site", tmp_path / "trees"
    strict = ["-q", "-W", "--keep-going", "-n"]
    build = [sys.executable, "-m", "sphinx", *strict, "-d", trees, "-c", "docs", ".", pages]
    subprocess.run(build, cwd=ROOT, check=True)
    subprocess.run([sys.executable, "docs/check_site.py", pages], cwd=ROOT, check=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(pages)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_site_is_read_without_a_network(site: str) -> None:
    """The first address leads to the map; diagrams are drawn, search finds, all from here."""

    async def read() -> None:
        async with browsing() as watched:
            page = watched.page
            await page.goto(site)
            await expect(page).to_have_url(f"{site}docs/index.html")
            for kind in ("Tutorial", "How-to guides", "Reference", "Explanation", "Decisions"):
                caption = page.locator(".sidebar-tree .caption-text", has_text=kind)
                await expect(caption).to_be_visible()
            for name, count in {"architecture": 1, "rollout": 1}.items():
                await page.goto(f"{site}docs/{name}.html")
                await expect(page.locator("pre.mermaid svg")).to_have_count(count)
            await page.goto(f"{site}search.html?q=quarantine")
            await expect(page.locator("#search-results li").first).to_be_visible()

    asyncio.run(read())
