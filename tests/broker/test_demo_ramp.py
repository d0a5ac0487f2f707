"""The demo of ramps, with the last step approved in the page by a real browser."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from browser import browsing, find_browser
from playwright.async_api import expect
from rich.console import Console

from leverframe.experiments.demo.ramp_run import RampOptions, run_ramp_demo

# Most of a minute; its parts are tested by test_ramp.py, test_guardrail.py and test_approval.py.
pytestmark = [pytest.mark.broker, pytest.mark.drill]


async def approve(address: str, token: str) -> None:
    """Press the button, as a person with the token would."""
    async with browsing() as watched:
        page = watched.page
        await page.goto(address)
        await page.get_by_role("button", name="Approve forest-v2").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Your name").fill("ada")
        await dialog.get_by_label("Token").fill(token)
        await dialog.get_by_role("button", name="Yes, approve").click()
        await expect(dialog).to_contain_text("Done: version")
        await dialog.get_by_role("button", name="Close").click()


def test_ramps_wait_end_and_are_approved_in_the_page(
    broker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: off within 150 requests; broken at half: off; mended: champion by ada's yes."""
    find_browser()
    monkeypatch.setenv("LEVERFRAME_BROKER", broker.bootstrap)
    options = RampOptions(seed=7, rate=150.0, duration_s=600.0, output=tmp_path)
    assert run_ramp_demo(options, Console(), approve)
    told = orjson.loads((tmp_path / "summary.json").read_bytes())
    # 35 to 43 in four runs.
    assert 0 < told["slow_requests"] <= 150
    assert told["slow_share"] == pytest.approx(0.1)
    assert told["waited_for"] == "labels"
    assert told["broken_at_share"] == 0.5
    assert told["approved_by"] == "ada (dashboard)"
    assert told["ramp_steps"] == [2, 3]  # the last one is the approval's
    assert (tmp_path / "traffic.png").stat().st_size > 10_000
