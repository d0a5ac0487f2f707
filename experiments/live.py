"""The experiment's serving, live: predictions, labels and commands through Kafka and a worker.

The rows of a block are answered with the weights that the ``control`` topic has in force, then the
labels of an earlier block are sent, and the next block waits for the decision that they make due.
So the order of arrival is the replay's up to the order inside a block, which no sum depends on,
and the route's state digest must equal the replay's for the same seed.
"""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from aiokafka import AIOKafkaProducer

from agents.cli.following import ask, subscriber
from agents.settings import Settings, load_settings
from experiments.demo.processes import running_worker
from experiments.replay import ROUTE, STEP_MS, Outcome, replay
from experiments.rewards import named_reward, reward_matrix, unit_matrix
from experiments.strategies import Strategy, route_settings
from experiments.stream import Floats
from experiments.table import BLOCK, DELAY, Table
from schemas.codec import encode
from schemas.control import ControlMessage
from schemas.errors import LeverframeError
from schemas.ground_truth import GroundTruth
from schemas.prediction import Prediction
from streams.routes import RouteSettings
from streams.runtime.topics import create_topics

__all__ = ["LiveResult", "run_live"]

_PATIENCE_S: Final = 60.0


class LiveResult:
    """What a live run came to, beside the replay of the same seed.

    Parameters
    ----------
    live_digest : str
        Of the route's state, as its newest control message says.
    replayed : Outcome
        Of the pure replay.
    rows : int
        Rows served.
    seconds : float
        Wall time of the live run.
    """

    def __init__(self, live_digest: str, replayed: Outcome, rows: int, seconds: float) -> None:
        self.live_digest = live_digest
        self.replayed = replayed
        self.rows = rows
        self.seconds = seconds

    @property
    def agrees(self) -> bool:
        """Whether live equals replay."""
        return self.live_digest == self.replayed.digest


def run_live(
    table: Table, strategy: Strategy, reward: str, *, seed: int, servers: str, folder: Path
) -> LiveResult:
    """Serve a table through Kafka and a worker of its own, then replay the same.

    Parameters
    ----------
    table : Table
        Predictions of all arms.
    strategy : Strategy
        With a policy.
    reward : str
        One of the experiment's rewards.
    seed : int
        Of the draws.
    servers : str
        Bootstrap servers.
    folder : Path
        For the worker's cache and log.

    Returns
    -------
    LiveResult
        Both digests.

    Raises
    ------
    LeverframeError
        If the worker does not answer in time; its log is named.
    """
    named = named_reward(reward, table.labels[: table.first])
    route = route_settings(strategy, named)
    scores = table.validation_scores(unit_matrix(named))
    # Kafka drops what is older than its retention, and windows close by wall time: begin now.
    start_ms = time.time_ns() // 1_000_000 - len(table.labels) * STEP_MS
    settings, environment = _settings(servers, folder, route)
    asyncio.run(create_topics(settings.broker, settings.declared_topics(), 1))
    began = time.monotonic()
    with running_worker(environment, folder / "worker.log", keep=False):
        live = _Live(table, settings, scores, seed, start_ms, promotes=strategy.is_promoted)
        digest = asyncio.run(live.serve())
    seconds = time.monotonic() - began
    replayed = replay(
        table,
        route,
        reward_matrix(named),
        scores,
        seed=seed,
        promotes=strategy.is_promoted,
        start_ms=start_ms,
    )
    return LiveResult(digest, replayed, table.served, seconds)


def _settings(servers: str, folder: Path, route: RouteSettings) -> tuple[Settings, dict[str, str]]:
    """A settings file of one route, as a user would write it."""
    import msgspec

    config = folder / "leverframe.toml"
    tree = {"routes": {ROUTE: msgspec.to_builtins(route)}}
    tree["routes"][ROUTE]["window_s"] = 86_400.0
    config.write_bytes(msgspec.toml.encode(tree))
    environment = {
        "LEVERFRAME_CONFIG": str(config),
        "LEVERFRAME_BROKER": servers,
        "LEVERFRAME_TOPICS__PREFIX": f"live-{time.time_ns():x}-",
        "LEVERFRAME_APP__DATADIR": str(folder / "worker"),
    }
    return load_settings(config, environment), environment


class _Live:
    """A route in live service."""

    def __init__(
        self,
        table: Table,
        settings: Settings,
        scores: list[float],
        seed: int,
        start_ms: int,
        *,
        promotes: bool,
    ) -> None:
        self.table, self.settings, self.scores = table, settings, scores
        self.start_ms, self.promotes = start_ms, promotes
        self.uniforms = np.random.default_rng([seed, 7]).random(table.served)
        self.newest: ControlMessage | None = None
        self.decisions = 0
        self._changed = asyncio.Event()

    def _on_routing(self, message: ControlMessage) -> None:
        self.newest = message
        if message.cause.get("why") in {"policy", "guard", "better"}:
            self.decisions += 1
        self._changed.set()

    async def serve(self) -> str:
        """Serve all rows; return the state digest of the newest message."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.broker.servers, linger_ms=2)
        await producer.start()
        try:
            async with subscriber(self.settings, on_routing=self._on_routing):
                chosen = np.zeros(self.table.served, dtype=np.int64)
                for block in range(0, self.table.served, BLOCK):
                    await self._deploy(self.table.first + block)
                    chosen[block : block + BLOCK] = await self._answer(producer, block)
                    await self._label(producer, block - DELAY)
                return self._message().state_digest
        finally:
            await producer.stop()

    def _message(self) -> ControlMessage:
        if self.newest is None:
            raise LeverframeError("no control message yet")
        return self.newest

    def _vector(self) -> Floats:
        weights = self._message().weights
        return np.array([weights.get(arm, 0.0) for arm in self.table.arms])

    async def _command(self, action: Any, arm: str, params: dict[str, Any] | None) -> None:
        answer = await ask(
            self.settings,
            ROUTE,
            action,
            arm=arm,
            params=params,
            actor="experiment",
            timeout_s=_PATIENCE_S,
        )
        await self._until(
            lambda: (self._message().epoch, self._message().seq) >= (answer.epoch, answer.seq)
        )

    async def _until(self, condition: Any) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while self.newest is None or not condition():
            if time.monotonic() > deadline:
                raise LeverframeError("the worker did not answer in time; see its log")
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), 1.0)
            except TimeoutError:
                continue

    async def _deploy(self, row: int) -> None:
        for arm in np.flatnonzero(self.table.since == row).tolist():
            name = self.table.arms[arm]
            await self._command("register_arm", name, {"validation_score": self.scores[arm]})
            message = self._message()
            leads = message.weights.get(name, 0.0) == 1.0
            if self.promotes and leads and message.champion != name:
                await self._command("promote", name, None)

    async def _answer(self, producer: Any, block: int) -> Any:
        weights = self._vector()
        bounds = np.cumsum(weights)
        draws = self.uniforms[block : block + BLOCK]
        drawn = np.searchsorted(bounds, draws * bounds[-1], side="right")
        topic = self.settings.topic_names.predictions
        for at, arm in enumerate(drawn.tolist()):
            row = self.table.first + block + at
            asked_ms = self.start_ms + row * STEP_MS
            prediction = Prediction(
                request_id=f"row-{row}",
                route=ROUTE,
                arm=self.table.arms[arm],
                prediction=int(self.table.predictions[arm, row]),
                propensity=float(weights[arm]),
                predicted_at_ms=asked_ms,
            )
            key = prediction.request_id.encode()
            await producer.send(topic, encode(prediction), key=key, timestamp_ms=asked_ms)
        return drawn

    async def _label(self, producer: Any, block: int) -> None:
        if block < 0:
            return
        due = self.decisions + 1
        topic = self.settings.topic_names.ground_truth
        for row in range(self.table.first + block, self.table.first + block + BLOCK):
            told_ms = self.start_ms + row * STEP_MS + DELAY * STEP_MS
            truth = GroundTruth(
                request_id=f"row-{row}", label=int(self.table.labels[row]), labelled_at_ms=told_ms
            )
            key = truth.request_id.encode()
            await producer.send(topic, encode(truth), key=key, timestamp_ms=told_ms)
        await self._until(lambda: self.decisions >= due)
