"""Pictures of the dashboard at the end of a real demo: ``python -m bench.dashboard.pictures``."""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench.dashboard.browser import open_page
from leverframe.experiments.demo.scenario import DemoOptions, run_demo

__all__: list[str] = []

# A heartbeat comes in this time, so that the charts go on for a while after the rollback.
_AFTER_S: Final = 5.0


def _take(route_page: str, folder: Path) -> None:
    time.sleep(_AFTER_S)
    asyncio.run(_take_all(route_page, folder))


async def _take_all(route_page: str, folder: Path) -> None:
    first_page = urlsplit(route_page)._replace(path="/", fragment="").geturl()
    async with open_page(first_page, height=300) as page:
        await page.wait_for_selector("tbody tr")
        await page.screenshot(path=folder / "dashboard-routes.png")
    async with open_page(route_page) as page:
        await page.wait_for_selector("canvas >> nth=1")
        await page.get_by_role("button", name="The last three changes").click()
        await page.wait_for_selector(".told >> nth=2")
        await page.screenshot(path=folder / "dashboard-route.png", full_page=True)
    async with open_page(route_page, width=390, scheme="dark") as page:
        await page.wait_for_selector("canvas >> nth=1")
        await page.screenshot(path=folder / "dashboard-phone.png")


def main() -> None:
    """Run the demo, and take the pictures before it ends."""
    parser = argparse.ArgumentParser(prog="bench.dashboard.pictures", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/images"))
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    options = DemoOptions(
        duration_s=600,
        seed=chosen.seed,
        rate=600,
        keep=False,
        tty=False,
        output=Path("demo-output"),
    )
    summary = run_demo(options, lambda route_page: _take(route_page, chosen.folder))
    if summary.failure is not None:
        raise SystemExit(f"the demo did not reach its end: {summary.failure}")


if __name__ == "__main__":
    main()
