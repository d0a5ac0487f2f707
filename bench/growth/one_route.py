"""What learning alone costs, when all labels are of one route.

The ``rewards`` topic is filled as the join would fill it, and the inputs of the join stay empty:
the worker then does nothing but learn, on the one partition that holds the route.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec
from aiokafka import TopicPartition

from bench.peers.scene import PAIRS_PER_MS
from bench.rig.drain import bench_settings
from bench.rig.filling import check, reader, running_worker
from bench.rig.load import preload
from bench.rig.turns import turn
from bench.rig.usage import processor_s
from leverframe.schemas.codec import encode
from leverframe.schemas.reward import Reward
from leverframe.streams.runtime.kafka import partition_of
from leverframe.streams.runtime.ledger import POSITIONS_KEY, Positions
from leverframe.streams.runtime.topic_admin import create_topics

__all__ = ["learning_alone"]

_PATIENCE_S: Final = 120.0
_ARMS: Final = 4
_HEAD: Final = 0.2


async def learning_alone(servers: str, labels: int, lock: Path | None) -> float:
    """Measure the processor time of a worker that only learns.

    Microseconds a label, over the last four fifths of them.
    """
    with tempfile.TemporaryDirectory(prefix="leverframe-growth-") as folder:
        settings, environment = bench_settings(servers, Path(folder) / "data")
        topics, partitions = settings.topic_names, settings.topics.route_partitions
        await create_topics(settings.broker, settings.declared_topics(), 1)
        begin_ms = time.time_ns() // 1_000_000 - labels // PAIRS_PER_MS
        times = [begin_ms + at // PAIRS_PER_MS for at in range(labels)]
        records = ((b"route", encode(_reward(at, times[at]))) for at in range(labels))
        log = Path(folder) / "worker.log"
        tp = TopicPartition(topics.learning_changelog, partition_of(b"route", partitions))
        with turn(lock):
            await preload(servers, topics.rewards, partitions, records, times)
            async with reader(settings, fetch_max_wait_ms=5) as consumer:
                consumer.assign([tp])
                with running_worker(environment, log) as worker:
                    learned, head, began_s, since_s = 0, 0, 0.0, time.monotonic()
                    while learned < labels:
                        for record in (await consumer.getmany(timeout_ms=20)).get(tp, []):
                            if record.key == POSITIONS_KEY and record.value is not None:
                                found = msgspec.msgpack.decode(record.value, type=Positions)
                                learned = found.offsets.get(topics.rewards, learned)
                        if not head and learned >= _HEAD * labels:
                            head, began_s = learned, processor_s(worker.pid)
                        check(worker, log, since_s, _PATIENCE_S)
                        await asyncio.sleep(0)
                    return round(1e6 * (processor_s(worker.pid) - began_s) / (labels - head), 2)


def _reward(number: int, at_ms: int) -> Reward:
    return Reward(
        request_id=f"r{number}",
        route="route",
        arm=f"arm-{number % _ARMS}",
        reward=float(number % 10 != 0),
        previous_reward=None,
        revision=0,
        cause="label",
        propensity=1 / _ARMS,
        predicted_at_ms=at_ms - 1000,
        labelled_at_ms=at_ms,
        attributed_at_ms=at_ms,
    )
