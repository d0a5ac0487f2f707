"""The metrics page of a real worker."""

import asyncio
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from harness import Deployment, Script, produce, wait_for_rewards
from patience import PATIENCE_S
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.broker

PAIRS = 400


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def scraped(port: int) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample name to label values (by label name) to value; empty if nobody listens."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S
        ) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return {}
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_worker_serves_the_health_of_the_join(deploy: Callable[..., Any]) -> None:
    """After some pairs, the page says what came, met and waits, by route and arm."""
    port = free_port()

    async def scenario() -> dict[str, dict[tuple[str, ...], float]]:
        deployment: Deployment = await deploy(
            LEVERFRAME_APP__WEB_PORT=str(port),
            LEVERFRAME_APP__SESSION_TIMEOUT_S="60",
            **{"LEVERFRAME_ROUTES__*__TTL_S": "1.5"},
        )
        deployment.start()
        script = Script(seed=5, pairs=PAIRS, routes=2)
        await produce(deployment, script, per_second=1000)
        assert len(await wait_for_rewards(deployment, PAIRS)) == PAIRS
        deadline = time.monotonic() + PATIENCE_S
        while True:
            page = await asyncio.to_thread(scraped, port)
            events = page.get("leverframe_join_events_total", {})
            met = sum(n for labels, n in events.items() if "labelled" in labels)
            if met == PAIRS:
                return page
            assert time.monotonic() < deadline, f"{met} of {PAIRS} on the page"
            await asyncio.sleep(0.2)

    page = asyncio.run(scenario())
    events = page["leverframe_join_events_total"]
    duplicates = sum(n for labels, n in events.items() if "duplicate" in "".join(labels))
    assert duplicates > 0
    assert set(page["leverframe_join_waiting"].values()) == {0.0}
    assert all(0.8 < share <= 1.0 for share in page["leverframe_join_coverage_ratio"].values())
    weights = page["leverframe_arm_weight"]
    routes = {route for _, route in weights}
    assert len(routes) == 2
    for route in routes:
        assert sum(w for (_, of), w in weights.items() if of == route) == pytest.approx(1.0)
    assert sum(page["leverframe_arm_labels"].values()) == PAIRS
