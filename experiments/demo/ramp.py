"""The model server of the ramp's demo: real models, latencies that it measures, labels by delay."""

import asyncio
import heapq
import time
from typing import Any, Final

import numpy as np

from leverframe.experiments.demo.models import (
    BYSTANDER,
    CHALLENGER,
    Data,
    Model,
    corrupt,
    draw_row,
)
from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.serving.subscriber import Subscriber
from leverframe.streams.topology import Topics

__all__ = ["Service"]

REPLICA: Final = "ramp-service"
_LABEL_AFTER_S: Final = 0.5
_PERIOD_S: Final = 0.02
_PLACES_OFF: Final = 4
# Of the logarithm; the slow model takes six times as long.
_MEDIAN_MS: Final = 40.0
_SPREAD: Final = 0.4
_SLOWNESS: Final = 6.0


class Service:
    """Answers requests by the weights in force, and labels them half a second later.

    Parameters
    ----------
    routing : Subscriber
        Started.
    producer : AIOKafkaProducer
        Likewise.
    topics : Topics
        Of the application.
    route : str
        That is served.
    data : Data
        The readings.
    models : dict of str to Model
        By arm.
    seed, rate : int, float
        Of the requests; their number a second.

    Attributes
    ----------
    holds_labels : bool
        Labels wait while it is true.
    is_broken : bool
        The challenger's input is corrupted while it is true.
    answered : dict of str to int
        Requests by arm.
    """

    def __init__(
        self,
        routing: Subscriber,
        producer: Any,
        topics: Topics,
        route: str,
        data: Data,
        models: dict[str, Model],
        *,
        seed: int,
        rate: float,
    ) -> None:
        self.holds_labels = self.is_broken = False
        self.answered: dict[str, int] = {}
        self._routing, self._producer, self._topics, self._route = routing, producer, topics, route
        self._data, self._models, self._seed, self._rate = data, models, seed, rate
        self._rng = np.random.default_rng(seed)
        self._unlabelled: list[tuple[float, bytes, int]] = []

    async def serve(self) -> None:
        """Answer and label until cancelled."""
        began_s, index = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began_s) * self._rate)
            for number in range(index, due):
                await self._answer(number)
            index = max(index, due)
            await self._label()
            await asyncio.sleep(_PERIOD_S)

    async def _answer(self, number: int) -> None:
        request_id = f"{number:08d}"
        assigned = self._routing.assign(self._route, request_id)
        if assigned is None:
            return
        arm, propensity, message = assigned
        row = draw_row(self._data, self._seed, number)
        features = self._data.features[[row]]
        if arm == CHALLENGER and self.is_broken:
            features = corrupt(features, _PLACES_OFF)
        prediction = Prediction(
            request_id=request_id,
            route=self._route,
            arm=arm,
            prediction=self._models[arm].predict(features)[0],
            propensity=propensity,
            epoch=message.epoch,
            seq=message.seq,
            metrics={"latency_ms": self._latency_ms(arm)},
            replica=REPLICA,
        )
        key = request_id.encode()
        await self._producer.send(self._topics.predictions, encode(prediction), key=key)
        self.answered[arm] = self.answered.get(arm, 0) + 1
        truth = int(self._data.labels[row])
        heapq.heappush(self._unlabelled, (time.monotonic() + _LABEL_AFTER_S, key, truth))

    def _latency_ms(self, arm: str) -> float:
        slowness = _SLOWNESS if arm == BYSTANDER else 1.0
        return round(_MEDIAN_MS * slowness * float(np.exp(_SPREAD * self._rng.normal())), 1)

    async def _label(self) -> None:
        waiting = self._unlabelled
        while not self.holds_labels and waiting and waiting[0][0] <= time.monotonic():
            _, key, label = heapq.heappop(waiting)
            truth = GroundTruth(request_id=key.decode(), label=label)
            await self._producer.send(self._topics.ground_truth, encode(truth), key=key)
