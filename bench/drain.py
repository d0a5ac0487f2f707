"""How fast a worker drains preloaded topics, beside what ``aiokafka.getmany`` alone reads."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.settings import Settings, load_settings
from bench.load import pairs, preload
from streams.runtime.topics import create_topics


def bench_settings(
    servers: str, datadir: Path, **overrides: str
) -> tuple[Settings, dict[str, str]]:
    """Return settings of a fresh application with its own topics, and them as environment.

    Parameters
    ----------
    servers : str
        Bootstrap servers.
    datadir : Path
        For its caches.
    **overrides : str
        More ``LEVERFRAME_...`` variables.

    Returns
    -------
    tuple of Settings and dict of str to str
        The same, twice.
    """
    environment = {
        "LEVERFRAME_BROKER": servers,
        "LEVERFRAME_TOPICS__PREFIX": f"b{uuid.uuid4().hex[:6]}-",
        "LEVERFRAME_APP__DATADIR": str(datadir),
        "LEVERFRAME_APP__LOG_LEVEL": "info",
        **overrides,
    }
    return load_settings(None, environment), environment


def start_worker(environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a worker process.

    Parameters
    ----------
    environment : mapping
        Its settings.
    log : Path
        Appended to.

    Returns
    -------
    Popen
        Running; the caller ends it.
    """
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "agents.cli.main", "worker"],
            env={**os.environ, **environment},
            stdout=out,
            stderr=out,
        )


async def getmany_alone(settings: Settings, total: int) -> float:
    """Return events a second of reading both input topics and doing nothing.

    Parameters
    ----------
    settings : Settings
        Name the topics.
    total : int
        Records there.

    Returns
    -------
    float
        Events a second.
    """
    topics = settings.topic_names
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.broker.servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=1 << 20,
    )
    await consumer.start()
    try:
        consumer.assign(
            [
                TopicPartition(topic, p)
                for topic in (topics.predictions, topics.ground_truth)
                for p in range(settings.topics.partitions)
            ]
        )
        began, seen = time.perf_counter(), 0
        while seen < total:
            seen += sum(map(len, (await consumer.getmany(timeout_ms=1000)).values()))
        return seen / (time.perf_counter() - began)
    finally:
        await consumer.stop()


async def drain(servers: str, count: int, runs: int) -> list[dict[str, Any]]:
    """Measure worker and ceiling in turn, on topics of their own for each run.

    Parameters
    ----------
    servers : str
        Bootstrap servers.
    count : int
        Pairs.
    runs : int
        Repetitions.

    Returns
    -------
    list of dict
        Events a second of both, their ratio, and what was counted, for each run.
    """
    results = []
    for run in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            settings, environment = bench_settings(servers, Path(folder))
            topics = settings.topic_names
            await create_topics(settings.broker, settings.declared_topics(), 1)
            made = list(pairs(count, seed=run))
            for topic, column in ((topics.predictions, 1), (topics.ground_truth, 2)):
                await preload(
                    servers,
                    topic,
                    settings.topics.partitions,
                    (row[column] for row in made),  # type: ignore[misc]
                )
            ceiling = await getmany_alone(settings, 2 * count)
            result = await _timed(settings, environment, count, Path(folder) / "worker.log")
            results.append({"run": run, "getmany_events_per_s": round(ceiling), **result})
            results[-1]["share_of_getmany"] = round(result["events_per_s"] / ceiling, 3)
    return results


async def _timed(
    settings: Settings, environment: Mapping[str, str], count: int, log: Path
) -> dict[str, Any]:
    """From the first reward to the last, so that the start of the process does not count."""
    topics = settings.topic_names
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.broker.servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=20,
    )
    await consumer.start()
    worker = start_worker(environment, log)
    try:
        consumer.assign(
            [TopicPartition(topics.rewards, p) for p in range(settings.topics.route_partitions)]
        )
        seen, first, last = 0, 0.0, 0.0
        head = 0
        began = time.monotonic()
        while seen < count:
            got = sum(map(len, (await consumer.getmany(timeout_ms=100)).values()))
            if got:
                last = time.perf_counter()
                if not seen:
                    first, head = last, got
                seen += got
            if worker.poll() is not None or time.monotonic() - began > 300:
                raise RuntimeError(await asyncio.to_thread(log.read_text))
        return {"rewards": seen, "events_per_s": round(2 * (seen - head) / (last - first))}
    finally:
        await consumer.stop()
        worker.terminate()
        await asyncio.to_thread(worker.wait, 30)
