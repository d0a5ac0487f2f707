"""The label source of the demo, in a process of its own: the truth, about a second late."""

import asyncio
import heapq
import time
from multiprocessing.synchronize import Event
from typing import Final

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from leverframe.experiments.demo.models import load_data
from leverframe.experiments.demo.replica import ServerOptions, row_of
from leverframe.schemas.codec import decode, encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.serving.patches import read_any_record

__all__ = ["label"]

MEDIAN_DELAY_S: Final = 0.8
_DELAY_SPREAD: Final = 0.4  # of the logarithm
_DUPLICATE_SHARE: Final = 0.01


def label(options: ServerOptions, stop: Event) -> None:
    """Label every request after a while; one in a hundred labels is sent twice."""
    data = load_data(options.seed)
    asyncio.run(_label(options, data.labels.tolist(), stop))


async def _label(options: ServerOptions, truths: list[int], stop: Event) -> None:
    read_any_record()
    rng = np.random.default_rng(options.seed)
    producer = AIOKafkaProducer(bootstrap_servers=options.servers, linger_ms=2)
    consumer = AIOKafkaConsumer(
        options.predictions,
        bootstrap_servers=options.servers,
        group_id=f"{options.predictions}-labels",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,
    )
    await producer.start()
    await consumer.start()
    waiting: list[tuple[float, bytes]] = []
    try:
        while not stop.is_set():
            for records in (await consumer.getmany(timeout_ms=20)).values():
                for record in records:
                    if not decode(Prediction, record.value).served:
                        continue  # one label speaks of all answers to a request
                    delay_s = MEDIAN_DELAY_S * float(np.exp(_DELAY_SPREAD * rng.standard_normal()))
                    heapq.heappush(waiting, (time.monotonic() + delay_s, record.key))
                    if rng.random() < _DUPLICATE_SHARE:
                        heapq.heappush(waiting, (time.monotonic() + 2 * delay_s, record.key))
            while waiting and waiting[0][0] <= time.monotonic():
                key = heapq.heappop(waiting)[1]
                request_id = key.decode()
                truth = GroundTruth(request_id=request_id, label=truths[row_of(request_id)])
                await producer.send(options.ground_truth, encode(truth), key=key)
    finally:
        await consumer.stop()
        await producer.stop()
