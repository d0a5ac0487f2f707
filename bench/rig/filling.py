"""Workers with many waiting predictions, and what they take of memory and time.

Request ids are hashes, as UUIDs would be: ids that count up lie side by side in RocksDB, and reads
of neighbours would come from one block.
"""

import asyncio
import hashlib
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.rig.drain import start_worker
from bench.rig.load import Keyed, preload
from bench.rig.usage import processor_s, resident_mb
from leverframe.agents.settings import Settings
from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction

_PATIENCE_S: Final = 300.0
_ROUTES: Final = 10
_ARMS: Final = 4


def request_id(number: int) -> str:
    """Return an id without order: 24 hexadecimal digits."""
    return hashlib.blake2b(number.to_bytes(8, "big"), digest_size=12).hexdigest()


def predictions(begin: int, end: int, route: str = "route") -> Iterator[Keyed]:
    """Yield the predictions of requests ``begin`` to ``end - 1``."""
    for number in range(begin, end):
        name = request_id(number)
        prediction = Prediction(
            request_id=name,
            route=f"{route}-{number % _ROUTES}",
            arm=f"arm-{number // _ROUTES % _ARMS}",
            prediction=1,
            propensity=1 / _ARMS,
        )
        yield name.encode(), encode(prediction)


def labels(begin: int, end: int) -> Iterator[Keyed]:
    """Yield the labels of requests ``begin`` to ``end - 1``, nine of ten of them right."""
    for number in range(begin, end):
        name = request_id(number)
        label = int(number * 7919 % 10 != 0)
        yield name.encode(), encode(GroundTruth(request_id=name, label=label))


@contextmanager
def running_worker(environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker for the time of a ``with`` block; it ends in order."""
    worker = start_worker(environment, log)
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait(_PATIENCE_S)


@asynccontextmanager
async def reader(settings: Settings, **options: Any) -> AsyncIterator[Any]:
    """Connect a consumer that reads what is committed."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.broker.servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **options,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


def check(worker: subprocess.Popen[bytes], log: Path, since_s: float, patience_s: float) -> None:
    """End the measurement where the worker is gone or too slow.

    Raises ``RuntimeError``: with the end of the log.
    """
    if worker.poll() is not None or time.monotonic() - since_s > patience_s:
        raise RuntimeError(f"the worker does not go on:\n{log.read_text()[-4000:]}")


async def until_taken(
    settings: Settings, topic: str, count: int, worker: subprocess.Popen[bytes], log: Path
) -> None:
    """Wait until the worker has acknowledged an input topic."""
    group = settings.topic_names.prefix + settings.app.id
    tps = [TopicPartition(topic, at) for at in range(settings.topics.partitions)]
    async with reader(settings, group_id=group) as consumer:
        consumer.assign(tps)
        taken, since_s = 0, time.monotonic()
        while taken < count:
            await asyncio.sleep(0.2)
            now = sum([(await consumer.committed(tp)) or 0 for tp in tps])
            if now > taken:
                taken, since_s = now, time.monotonic()
            check(worker, log, since_s, _PATIENCE_S)


async def fill(
    settings: Settings, count: int, worker: subprocess.Popen[bytes], log: Path
) -> dict[str, int]:
    """Give a worker predictions 0 to ``count - 1`` and no label for them."""
    topic = settings.topic_names.predictions
    producing = asyncio.create_task(
        asyncio.to_thread(
            lambda: asyncio.run(
                preload(
                    settings.broker.servers,
                    topic,
                    settings.topics.partitions,
                    predictions(0, count),
                )
            )
        )
    )
    await asyncio.gather(producing, until_taken(settings, topic, count, worker, log))
    return resident_mb(worker.pid)


async def drained(
    settings: Settings, environment: Mapping[str, str], count: int, log: Path
) -> dict[str, Any]:
    """Start a worker on preloaded pairs; measure from its first reward to its last.

    So the start of the process does not count, as in ``bench.peers.timeline``.

    ``events_per_s`` (two events for each reward), ``processor_us_per_event``, which a busy machine
    changes less, and the worker's memory.
    """
    topic = settings.topic_names.rewards
    tps = [TopicPartition(topic, at) for at in range(settings.topics.route_partitions)]
    async with reader(settings, fetch_max_wait_ms=20) as consumer:
        consumer.assign(tps)
        await consumer.seek_to_end(*tps)
        for tp in tps:
            await consumer.position(tp)
        with running_worker(environment, log) as worker:
            seen, head, first, last, began_s = 0, 0, 0.0, 0.0, 0.0
            since_s = time.monotonic()
            while seen < count:
                got = sum(map(len, (await consumer.getmany(timeout_ms=100)).values()))
                if got:
                    since_s, last = time.monotonic(), time.perf_counter()
                    if not seen:
                        first, head, began_s = last, got, processor_s(worker.pid)
                    seen += got
                check(worker, log, since_s, _PATIENCE_S)
            events = 2 * (seen - head)
            return {
                "events_per_s": round(events / (last - first)),
                "processor_us_per_event": round(1e6 * (processor_s(worker.pid) - began_s) / events),
                "resident_mb": resident_mb(worker.pid),
            }
