"""Pairs of each form through one worker, on topics of their own."""

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import orjson
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.ingest.records import SCHEMAS, pairs, section
from bench.rig.arrivals import Arrivals
from bench.rig.drain import bench_settings, start_worker
from bench.rig.filling import drained, reader, request_id
from bench.rig.load import Keyed, preload, produce_at, staggered
from leverframe.agents.settings import Settings, load_settings
from leverframe.streams.runtime.topic_admin import create_topics

__all__ = ["drain_rate", "latencies"]

_PARTITIONS: Final = 4
_WARM_UP_S: Final = 10.0


class _Schemas(BaseHTTPRequestHandler):
    """Answers for the ids of the bench's schemas, as a registry does."""

    def do_GET(self) -> None:
        """Answer."""
        number = int(self.path.rpartition("/")[2])
        body = orjson.dumps({"schema": orjson.dumps(SCHEMAS[number]).decode()})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Schemas)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


async def _application(
    servers: str, form: str, folder: Path, registry: str
) -> tuple[Settings, dict[str, str], tuple[str, str]]:
    """Make an application that reads a form; return its settings and its two input topics."""
    settings, environment = bench_settings(servers, folder)
    topics, prefix = settings.topic_names, settings.topics.prefix
    names = (topics.predictions, topics.ground_truth)
    if form != "own":
        config = folder / "leverframe.toml"
        config.write_text(f'{section(form, prefix)}[registry]\nurl = "{registry}"\n')
        environment["LEVERFRAME_CONFIG"] = str(config)
        settings = load_settings(config, environment)
        names = (f"{prefix}answers", f"{prefix}outcomes")
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        await admin.create_topics([NewTopic(name, _PARTITIONS, 1) for name in names])
        await admin.close()
    await create_topics(settings.broker, settings.declared_topics(), 1)
    return settings, environment, names


def _keyed(form: str, count: int) -> Iterator[tuple[Keyed, Keyed]]:
    for number, (said, truth) in enumerate(pairs(form, count)):
        key = request_id(number).encode()
        yield (key, said), (key, truth)


async def drain_rate(servers: str, form: str, count: int) -> float:
    """Return events a second, two for each reward, of pairs that lie in their topics already."""
    with tempfile.TemporaryDirectory() as name, _registry() as registry:
        folder = Path(name)
        settings, environment, topics = await _application(servers, form, folder, registry)
        for half, topic in enumerate(topics):
            records = (pair[half] for pair in _keyed(form, count))
            await preload(servers, topic, _PARTITIONS, records)
        found = await drained(settings, environment, count, folder / "worker.log")
        rate: float = found["events_per_s"]
        return rate


async def latencies(servers: str, form: str, per_second: float, seconds: float) -> list[float]:
    """Return ms from a label's arrival at its own topic to its reward at a consumer."""
    with tempfile.TemporaryDirectory() as name, _registry() as registry:
        folder = Path(name)
        settings, environment, names = await _application(servers, form, folder, registry)
        log, topics = folder / "worker.log", settings.topic_names
        worker = start_worker(environment, log)
        arrivals = Arrivals(topics)
        try:
            async with reader(settings, fetch_max_wait_ms=5) as consumer:
                tps = [TopicPartition(topics.rewards, p) for p in (0, 1)]
                consumer.assign(tps)
                await consumer.seek_to_beginning(*tps)
                for tp in tps:
                    await consumer.position(tp)
                while "attribution-0: open" not in await asyncio.to_thread(log.read_text):
                    await asyncio.sleep(0.1)
                arrivals.from_ms = (time.time() + _WARM_UP_S) * 1000
                following = asyncio.create_task(arrivals.follow(consumer))
                count = int(per_second / 2 * (seconds + _WARM_UP_S))
                await produce_at(servers, staggered(names, _keyed(form, count)), per_second)
                await asyncio.sleep(1)
                following.cancel()
        finally:
            worker.terminate()
            await asyncio.to_thread(worker.wait, 30)
        return arrivals.found["reward"]
