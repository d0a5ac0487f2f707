"""The dashboard under load: ``python -m bench.dashboard``.

A day of control messages of many routes is written into ``control``, then a real worker that has
the same routes runs with the dashboard, and a real Chromium opens its pages. It prints how long
the worker reads the day back, first paint, when the charts stand, memory of the browser's page,
what the dashboard costs the worker (with a page open and without, beside a worker without
dashboard), and how long ``explain`` takes. Pictures: ``python -m bench.dashboard.pictures``.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiokafka import AIOKafkaProducer

from bench.dashboard.browser import open_page
from bench.dashboard.history import day
from bench.rig.drain import bench_settings, start_worker
from bench.rig.servers import bench_broker
from bench.rig.usage import processor_s, resident_mb
from leverframe.agents.settings import Settings
from leverframe.devbroker.ports import free_ports
from leverframe.schemas.codec import encode
from leverframe.schemas.command import Command
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.runtime.kafka import partition_of
from leverframe.streams.runtime.topic_admin import create_topics

_DAY_MS: Final = 86_400_000


async def _write_day(settings: Settings, options: argparse.Namespace) -> int:
    now_ms = time.time_ns() // 1_000_000
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.broker.servers, compression_type="gzip", linger_ms=20
    )
    await producer.start()
    written = 0
    try:
        days = [
            day(f"route-{at:03}", options.arms, now_ms - _DAY_MS, now_ms - 60_000, options.seed)
            for at in range(options.routes)
        ]
        for minute in zip(*days, strict=True):
            for message in minute:
                key = message.route.encode()
                await producer.send(
                    settings.topic_names.control,
                    encode(message),
                    key=key,
                    partition=partition_of(key, settings.topics.route_partitions),
                    timestamp_ms=message.issued_at_ms,
                )
                written += 1
        await producer.flush()
    finally:
        await producer.stop()
    return written


async def _write_pairs(settings: Settings, options: argparse.Namespace) -> None:
    """Two labelled predictions for each arm: the job learns of all routes and arms."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker.servers, linger_ms=20)
    topics = settings.topic_names
    await producer.start()
    try:
        for at in range(2 * options.routes * options.arms):
            request_id, route = f"r-{at}", f"route-{at % options.routes:03}"
            key, arm = request_id.encode(), f"arm-{at // options.routes % options.arms}"
            made = Prediction(
                request_id=request_id, route=route, arm=arm, prediction=1, propensity=0.1
            )
            await producer.send(topics.predictions, encode(made), key=key)
            label = GroundTruth(request_id=request_id, label=at % 2)
            await producer.send(topics.ground_truth, encode(label), key=key)
        await producer.flush()
    finally:
        await producer.stop()


async def _promote_all(settings: Settings, options: argparse.Namespace) -> None:
    """Each route gets another champion, and so an epoch above that of the made-up day."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker.servers, linger_ms=20)
    await producer.start()
    try:
        # The one that is champion already is refused.
        for at, arm in itertools.product(range(options.routes), ("arm-1", "arm-2")):
            command = Command(
                command_id=f"promote-{arm}-{at}",
                route=f"route-{at:03}",
                action="promote",
                arm=arm,
                actor="bench",
                issued_at_ms=time.time_ns() // 1_000_000,
            )
            key = command.route.encode()
            await producer.send(settings.topic_names.commands, encode(command), key=key)
        await producer.flush()
    finally:
        await producer.stop()


async def _get(address: str, path: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"{address}{path}") as answer:
        answer.raise_for_status()
        return await answer.json()


async def _until_read(address: str, routes: int, epoch: int) -> float:
    """Seconds from now until the page knows all routes in such an epoch."""
    began_s = time.monotonic()
    while True:
        try:
            told = await _get(address, "/api/routes")
        except aiohttp.ClientError:
            told = {"share_read": 0, "routes": []}
        live = [line for line in told["routes"] if line["epoch"] >= epoch]
        if told["share_read"] == 1 and len(live) == routes:
            return time.monotonic() - began_s
        if time.monotonic() - began_s > 180:
            raise RuntimeError(f"after 180 s: {told['share_read']}, {len(live)} routes are live")
        await asyncio.sleep(0.1)


async def _share_of_core(pid: int, seconds: float) -> float:
    before_s, began_s = processor_s(pid), time.monotonic()
    await asyncio.sleep(seconds)
    return (processor_s(pid) - before_s) / (time.monotonic() - began_s)


async def _measure_page(address: str, told: dict[str, Any], worker: int, seconds: float) -> None:
    async with open_page(address) as page:
        await page.wait_for_selector("tbody tr")
        paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        told["first_paint_ms"] = round(await page.evaluate(paint))
        shown = "performance.now()"
        told["all_routes_shown_ms"] = round(await page.evaluate(shown))
        told["worker_core_share_overview_open"] = await _share_of_core(worker, seconds)
        began_s = time.monotonic()
        await page.goto(f"{address}/#/route/route-007")
        await page.wait_for_selector("canvas >> nth=1")
        told["route_with_charts_ms"] = round(1000 * (time.monotonic() - began_s))
        await page.get_by_role("button", name="24 h").click()
        told["worker_core_share_route_open"] = await _share_of_core(worker, seconds)
        heap = "performance.memory.usedJSHeapSize"
        told["browser_heap_mb"] = round(await page.evaluate(heap) / 1e6, 1)
        told["browser_page_mb"] = _renderer_mb()


def _renderer_mb() -> int:
    """Resident memory of the largest page process of our browser, files of the program left out."""
    found = subprocess.run(
        ["/usr/bin/pgrep", "-f", "type=renderer"], capture_output=True, text=True, check=False
    )
    return max((resident_mb(int(pid))["anonymous"] for pid in found.stdout.split()), default=0)


async def _explain_ms(address: str) -> float:
    times = []
    for at in range(20):
        began_s = time.monotonic()
        await _get(address, f"/api/explain?name=route-{at:03}&last=3")
        times.append(1000 * (time.monotonic() - began_s))
    return round(statistics.median(times), 1)


def _explain_command_s(environment: dict[str, str]) -> float:
    times = []
    for at in range(3):
        began_s = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "leverframe.agents.cli.main", "explain", f"route-{at:03}"],
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
        )
        times.append(time.monotonic() - began_s)
    return round(statistics.median(times), 2)


async def _run(options: argparse.Namespace, servers: str, folder: Path) -> dict[str, Any]:
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    settings, environment = bench_settings(
        servers,
        folder / "worker",
        LEVERFRAME_APP__WEB_PORT=str(port),
        LEVERFRAME_APP__WEB_TOKEN="a-token-of-sixteen",  # noqa: S106 - of a bench
    )
    await create_topics(settings.broker, settings.declared_topics(), 1)
    told: dict[str, Any] = {"routes": options.routes, "arms": options.arms}
    told["control_messages"] = await _write_day(settings, options)
    await _write_pairs(settings, options)
    worker = start_worker(environment, folder / "worker.log")
    try:
        told["history_read_s"] = round(await _until_read(address, options.routes, epoch=0), 1)
        await _promote_all(settings, options)
        await _until_read(address, options.routes, epoch=1)
        told["worker_mb"] = resident_mb(worker.pid)["now"]
        told["worker_core_share_nobody_looks"] = await _share_of_core(worker.pid, options.seconds)
        await _measure_page(address, told, worker.pid, options.seconds)
        told["explain_request_ms"] = await _explain_ms(address)
        told["explain_command_s"] = await asyncio.to_thread(_explain_command_s, environment)
    finally:
        worker.terminate()
        worker.wait()
    bare = {**environment, "LEVERFRAME_APP__DASHBOARD": "false"}
    worker = start_worker(bare, folder / "worker.log")
    try:
        await asyncio.sleep(10)
        told["worker_core_share_without"] = await _share_of_core(worker.pid, options.seconds)
    finally:
        worker.terminate()
        worker.wait()
    return told


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="bench.dashboard", description=__doc__)
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--arms", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=20, help="of each look at the worker")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with bench_broker() as servers, tempfile.TemporaryDirectory() as folder:
        told = asyncio.run(_run(options, servers, Path(folder)))
    for name, value in told.items():
        print(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    if options.json is not None:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
