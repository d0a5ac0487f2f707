#!/usr/bin/env python3
"""Sends predictions and delayed labels of two made-up models, following the published weights.

The second model is better for ``BREAK_AFTER_S`` seconds, then wrong half of the time: watch it win
traffic and lose it with ``leverframe watch checkout``.
"""

import asyncio
import os
import sys
import time
from typing import Final

import numpy as np
from aiokafka import AIOKafkaProducer

from leverframe.schemas.codec import encode
from leverframe.schemas.command import Command
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.serving.subscriber import Subscriber

ROUTE: Final = "checkout"
ARMS: Final = {"steady": 0.80, "eager": 0.88}  # chance of a right answer
BROKEN: Final = 0.5
BREAK_AFTER_S: Final = 120.0
LABEL_DELAY_S: Final = 1.0
RATE: Final = 200  # requests a second
_PERIOD_S: Final = 0.05


async def register(producer: AIOKafkaProducer) -> None:
    """Register both arms; doing so again changes nothing."""
    for arm in ARMS:
        command = Command(
            command_id=f"load-register-{arm}",
            route=ROUTE,
            action="register_arm",
            arm=arm,
            actor="load",
            issued_at_ms=time.time_ns() // 1_000_000,
        )
        await producer.send_and_wait("commands", encode(command), key=ROUTE.encode())


async def send_later(producer: AIOKafkaProducer, truth: GroundTruth) -> None:
    """Send a label after its delay."""
    await asyncio.sleep(LABEL_DELAY_S)
    await producer.send("ground-truth", encode(truth), key=truth.request_id.encode())


async def load(servers: str) -> None:
    """Send until stopped."""
    rng = np.random.default_rng()
    began = time.monotonic()
    run = f"{time.time_ns():x}"
    number = 0
    labels: set[asyncio.Task[None]] = set()
    async with (
        AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5) as producer,
        Subscriber(servers, acks="control-acks", replica=run) as routing,
    ):
        await register(producer)
        while True:
            await asyncio.sleep(_PERIOD_S)
            elapsed_s = time.monotonic() - began
            while number < elapsed_s * RATE:
                number += 1
                request_id = f"{run}-{number}"
                assigned = routing.assign(ROUTE, request_id)
                if assigned is None:  # no worker has answered the registration yet
                    continue
                arm, propensity, message = assigned
                is_broken = arm == "eager" and elapsed_s > BREAK_AFTER_S
                truth = bool(rng.random() < 0.5)
                is_right = bool(rng.random() < (BROKEN if is_broken else ARMS[arm]))
                prediction = Prediction(
                    request_id=request_id,
                    route=ROUTE,
                    arm=arm,
                    prediction=truth if is_right else not truth,
                    propensity=propensity,
                    epoch=message.epoch,
                    seq=message.seq,
                )
                await producer.send("predictions", encode(prediction), key=request_id.encode())
                label = GroundTruth(request_id=request_id, label=truth)
                task = asyncio.create_task(send_later(producer, label))
                labels.add(task)
                task.add_done_callback(labels.discard)


if __name__ == "__main__":
    try:
        asyncio.run(load(os.environ.get("LEVERFRAME_BROKER", "127.0.0.1:9092")))
    except KeyboardInterrupt:
        sys.exit(0)
