"""One route in live service: predictions, labels and commands out, weights in.

The rows of a block are answered with the weights that the ``control`` topic has in force; then the
labels of an earlier block are sent, and the next block waits for the decision that they make due.
"""

from typing import Any

import numpy as np

from leverframe.experiments.live.follow import Follower
from leverframe.experiments.live.run import LiveRun
from leverframe.experiments.live.view import View, request_id_of
from leverframe.experiments.replay import STEP_MS, Arrivals, chances, draw_arms
from leverframe.experiments.stream import Floats
from leverframe.experiments.table import BLOCK, DELAY
from leverframe.schemas.codec import encode
from leverframe.schemas.command import Action, Command
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.topology import Topics

__all__ = ["LiveRoute"]


class LiveRoute:
    """Serves one run.

    Parameters
    ----------
    run : LiveRun
        What to serve.
    follower : Follower
        Of the worker's topics.
    producer : AIOKafkaProducer
        Started.
    topics : Topics
        Of the application.
    start_ms : int
        Record time of the data set's first row, ms since the epoch.
    """

    def __init__(
        self, run: LiveRun, follower: Follower, producer: Any, topics: Topics, start_ms: int
    ) -> None:
        self._run, self._table, self._route = run, run.table, run.route
        self._follower, self._producer, self._topics = follower, producer, topics
        self._start_ms = start_ms
        self._uniforms = chances(run.table, run.seed)
        self.weights: list[Floats] = []

    async def serve(self, advance: Any) -> tuple[str, Arrivals]:
        """Serve all rows.

        State digest in the end, and what a replay needs to come to the same.
        """
        for block in range(0, self._table.served, BLOCK):
            await self._deploy(self._table.first + block)
            await self._answer(block)
            await self._label(block - DELAY)
            advance()
        view = await self._until(View.is_final, "the state digest")
        order = np.array(view.counted, dtype=np.int64)
        arrivals = Arrivals(route=self._route, start_ms=self._start_ms, order=order)
        return self._message().state_digest, arrivals

    def _message(self) -> ControlMessage:
        message = self._follower.views[self._route].message
        assert message is not None  # noqa: S101 - an arm was registered, hence a message came
        return message

    async def _until(self, condition: Any, what: str) -> View:
        return await self._follower.until(self._route, condition, what)

    def _time_ms(self, row: int) -> int:
        return self._start_ms + row * STEP_MS

    async def _deploy(self, row: int) -> None:
        for arm in np.flatnonzero(self._table.since == row).tolist():
            name = self._table.arms[arm]
            await self._command("register_arm", name, row, self._run.beforehand[arm])
            message = self._message()
            leads = message.weights.get(name, 0.0) == 1.0
            if self._run.promotes and leads and message.champion != name:
                await self._command("promote", name, row, None)

    async def _command(
        self, action: Action, arm: str, row: int, params: dict[str, Any] | None
    ) -> None:
        command = Command(
            command_id=f"{action}-{arm}",
            route=self._route,
            action=action,
            arm=arm,
            params=params,
            actor="experiment",
            issued_at_ms=self._time_ms(row),
        )
        await self._send(self._topics.commands, self._route, command, self._time_ms(row))
        what = f"the answer to {action} {arm}"
        await self._until(
            lambda view: view.state is not None and command.command_id in view.state.commands, what
        )
        await self._until(View.is_told, what)

    async def _answer(self, block: int) -> None:
        """Draw an arm for each row of a block, with the weights in force."""
        message = self._message()
        weights = np.array([message.weights.get(arm, 0.0) for arm in self._table.arms])
        self.weights.append(weights)
        drawn = draw_arms(weights, self._uniforms[block : block + BLOCK])
        for place, arm in enumerate(drawn.tolist(), start=block):
            row = self._table.first + place
            prediction = Prediction(
                request_id=request_id_of(self._route, place),
                route=self._route,
                arm=self._table.arms[arm],
                prediction=int(self._table.predictions[arm, row]),
                propensity=float(weights[arm]),
                epoch=message.epoch,
                seq=message.seq,
                predicted_at_ms=self._time_ms(row),
            )
            await self._send(
                self._topics.predictions, prediction.request_id, prediction, self._time_ms(row)
            )

    async def _label(self, block: int) -> None:
        """Send the labels of a block of rows served earlier, and wait for the decision."""
        if block < 0:
            return
        # A label that is read before its prediction counts at another time: wait for the ledger.
        places = range(block, block + BLOCK)
        await self._until(lambda view: view.held.issuperset(places), "predictions in the ledger")
        for place in places:
            row = self._table.first + place
            truth = GroundTruth(
                request_id=request_id_of(self._route, place),
                label=int(self._table.labels[row]),
                labelled_at_ms=self._time_ms(row + DELAY),
            )
            await self._send(
                self._topics.ground_truth, truth.request_id, truth, self._time_ms(row + DELAY)
            )
        # A decision need not be published, so the ledger says when it was made.
        await self._until(
            lambda view: (
                view.state is not None
                and view.state.labels == block + BLOCK
                and len(view.counted) == block + BLOCK
            ),
            "rewards in the ledger",
        )
        await self._until(View.is_told, "the decision")

    async def _send(self, topic: str, key: str, record: Any, time_ms: int) -> None:
        await self._producer.send(topic, encode(record), key=key.encode(), timestamp_ms=time_ms)
