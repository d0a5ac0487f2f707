"""A model server of the demo, in a process of its own; it follows ``control`` as any would."""

import asyncio
import time
from multiprocessing.synchronize import Event
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from msgspec import Struct

from leverframe.experiments.demo.models import (
    CHALLENGER,
    Data,
    Model,
    corrupt,
    draw_row,
    load_data,
    train,
)
from leverframe.schemas.codec import encode
from leverframe.schemas.prediction import Prediction
from leverframe.serving.subscriber import Subscriber

__all__ = ["ServerOptions", "request_id_of", "row_of", "serve"]

_PERIOD_S: Final = 0.02


class ServerOptions(Struct, frozen=True, kw_only=True):
    """What a demo process needs to know.

    Attributes
    ----------
    servers : str
        Bootstrap servers.
    predictions, ground_truth, control, acks : str
        Full topic names.
    route : str
        The route served.
    seed : int
        Of the demo.
    rate : float
        Requests a second of all replicas together.
    replica, replicas : int
        Which one this is, and of how many.
    places_off : int
        How the challenger's columns lie once it is broken.
    """

    servers: str
    predictions: str
    ground_truth: str
    control: str
    acks: str
    route: str
    seed: int
    rate: float
    replica: int
    replicas: int
    places_off: int


def request_id_of(index: int, row: int) -> str:
    """Return the id of a request: its number, and the reading it is about."""
    return f"{index:08d}-{row}"


def row_of(request_id: str) -> int:
    """Return the reading that a request is about."""
    return int(request_id.rpartition("-")[2])


def serve(options: ServerOptions, broken: Event, stop: Event) -> None:
    """Answer requests until told to stop."""
    data = load_data(options.seed)
    models = train(data, options.seed)
    asyncio.run(_serve(options, data, models, broken, stop))


async def _serve(
    options: ServerOptions, data: Data, models: dict[str, Model], broken: Event, stop: Event
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=options.servers, linger_ms=2)
    await producer.start()
    try:
        async with Subscriber(
            options.servers,
            control=options.control,
            acks=options.acks,
            replica=f"replica-{options.replica}",
        ) as routing:
            began = time.monotonic()
            index = options.replica
            while not stop.is_set():
                due = int((time.monotonic() - began) * options.rate)
                indices = list(range(index, due, options.replicas))
                if indices:
                    index = indices[-1] + options.replicas
                    for prediction in _answer(options, data, models, routing, indices, broken):
                        await producer.send(
                            options.predictions,
                            encode(prediction),
                            key=prediction.request_id.encode(),
                        )
                await asyncio.sleep(_PERIOD_S)
    finally:
        await producer.stop()


def _answer(
    options: ServerOptions,
    data: Data,
    models: dict[str, Model],
    routing: Subscriber,
    indices: list[int],
    broken: Event,
) -> list[Prediction]:
    """Choose arms by the weights in force, then let each model answer its own requests.

    And those that it is asked in shadow: they have no propensity.
    """
    by_arm: dict[str, list[tuple[str, int, float | None, Any]]] = {}
    for index in indices:
        row = draw_row(data, options.seed, index)
        request_id = request_id_of(index, row)
        assigned = routing.assign(options.route, request_id)
        if assigned is not None:
            arm, propensity, message = assigned
            by_arm.setdefault(arm, []).append((request_id, row, propensity, message))
            for other in routing.shadows(options.route, request_id, arm):
                by_arm.setdefault(other, []).append((request_id, row, None, message))
    predictions = []
    for arm, requests in by_arm.items():
        features = data.features[[row for _, row, _, _ in requests]]
        if arm == CHALLENGER and broken.is_set():
            features = corrupt(features, options.places_off)
        answers = models[arm].predict(features)
        for (request_id, _, drawn_with, message), answer in zip(requests, answers, strict=True):
            predictions.append(
                Prediction(
                    request_id=request_id,
                    route=options.route,
                    arm=arm,
                    prediction=answer,
                    propensity=drawn_with,
                    served=drawn_with is not None,
                    epoch=message.epoch,
                    seq=message.seq,
                    replica=f"replica-{options.replica}",
                )
            )
    return predictions
