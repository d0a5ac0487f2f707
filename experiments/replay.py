"""One strategy over one table, through the product's own ``learn``: records in, weights out.

Every row is a record: its arm is drawn with the weights in force, its label arrives ``DELAY`` rows
later as an encoded ``Reward``, and a decision is due every ``BLOCK`` labels.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from leverframe.experiments.stream import Floats, Ints
from leverframe.experiments.table import BLOCK, DELAY, Table
from leverframe.schemas.codec import encode
from leverframe.schemas.command import Action, Command
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.state import RouteState, state_digest
from leverframe.streams.learning.step import InputKind, learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import RouteSettings

__all__ = ["STEP_MS", "Arrivals", "Outcome", "Record", "chances", "draw_arms", "replay"]

STEP_MS: Final = 100
"""Stream time between two rows: ten requests a second."""
_MAX_VALUE_BYTES: Final = 100_000


@dataclass(slots=True)
class Record:
    """A Kafka record as the transport hands it over."""

    topic: str
    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None
    partition: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a strategy did.

    Attributes
    ----------
    chosen : NDArray[np.int64]
        Shape (served,): the arm that answered each row.
    weights : NDArray[np.float64]
        Shape (decisions, K): in force while each block of rows was served.
    digest : str
        Of the route's state in the end; empty for a control, which has none.
    """

    chosen: Ints
    weights: Floats
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Where, when and in which order records arrive; as in a live run, to replay that one.

    Attributes
    ----------
    route : str
        Name of the route.
    start_ms : int
        Stream time of the first row of the data set, ms since the epoch.
    order : NDArray[np.int64] or None
        Rows served, 0 for the first, in the order in which their labels were counted; every
        ``BLOCK`` of them are the rows of a block. None for the rows' own order.
    """

    route: str = "experiment"
    start_ms: int = 1_000_000
    order: Ints | None = None


_AS_SIMULATED: Final = Arrivals()


def chances(table: Table, seed: int) -> Floats:
    """Return the number that decides which arm answers, for each row served."""
    return np.random.default_rng([seed, 7]).random(table.served)


def draw_arms(weights: Floats, uniforms: Floats) -> Ints:
    """Draw an arm for each of some rows.

    Examples
    --------
    >>> draw_arms(np.array([0.2, 0.0, 0.8]), np.array([0.1, 0.3]))
    array([0, 2])
    """
    bounds = np.cumsum(weights)
    drawn: Ints = np.searchsorted(bounds, uniforms * bounds[-1], side="right")
    return drawn


def replay(  # noqa: PLR0913 - a run has many sides
    table: Table,
    settings: RouteSettings,
    matrix: Floats,
    beforehand: list[dict[str, Any]],
    *,
    seed: int,
    promotes: bool = False,
    shadow_share: float = 0.0,
    batch: int = BLOCK,
    arrivals: Arrivals = _AS_SIMULATED,
) -> Outcome:
    """Serve the table's rows under a route's settings."""
    served = _Serving(table, settings, matrix, beforehand, batch, arrivals)
    served.shadowed = np.random.default_rng([seed, 8]).random(table.served) < shadow_share
    uniforms = chances(table, seed)
    for block in range(0, table.served, BLOCK):
        served.deploy(table.first + block, promotes=promotes)
        served.answer(block, uniforms[block : block + BLOCK])
        served.label(block - DELAY)
    return Outcome(
        chosen=served.chosen, weights=np.array(served.weights), digest=state_digest(served.state)
    )


class _Serving:
    """A route in service."""

    def __init__(
        self,
        table: Table,
        settings: RouteSettings,
        matrix: Floats,
        beforehand: list[dict[str, Any]],
        batch: int,
        arrivals: Arrivals,
    ) -> None:
        self.table, self.matrix, self.batch = table, matrix, batch
        self.beforehand = beforehand
        self.route, self._start_ms = arrivals.route, arrivals.start_ms
        self._order = np.arange(table.served) if arrivals.order is None else arrivals.order
        self.routes = Routes({self.route: settings}, None)
        self.states: dict[str, RouteState] = {}
        self.chosen = np.zeros(table.served, dtype=np.int64)
        self.propensities = np.zeros(table.served)
        self.shadowed = np.zeros(table.served, dtype=np.bool_)
        self.weights: list[Floats] = []
        self._offset = 0

    @property
    def state(self) -> RouteState:
        return self.states[self.route]

    def _vector(self) -> Floats:
        shares = self.state.weights
        return np.array([shares.get(arm, 0.0) for arm in self.table.arms])

    def deploy(self, row: int, *, promotes: bool) -> None:
        """Register the arms that can answer from this row on."""
        for arm in np.flatnonzero(self.table.since == row).tolist():
            name = self.table.arms[arm]
            self._command("register_arm", name, row, self.beforehand[arm])
            leads = self.state.weights.get(name, 0.0) == 1.0
            if promotes and leads and self.state.champion != name:
                self._command("promote", name, row, None)

    def answer(self, block: int, uniforms: Floats) -> None:
        """Draw an arm for each row of a block, with the weights in force."""
        weights = self._vector()
        self.weights.append(weights)
        drawn = draw_arms(weights, uniforms)
        self.chosen[block : block + BLOCK] = drawn
        self.propensities[block : block + BLOCK] = weights[drawn]

    def label(self, block: int) -> None:
        """Fold the labels of a block of rows served earlier."""
        if block < 0:
            return
        stop = block + BLOCK
        served = self._order[block:stop]
        chosen, rows = self.chosen[served], served + self.table.first
        predicted, labels = self.table.predictions[chosen, rows], self.table.labels[rows]
        rewards = self.matrix[predicted, labels].tolist()
        propensities, arms = self.propensities[served].tolist(), self.table.arms
        records: list[Record] = []
        for row, arm, reward, propensity in zip(
            rows.tolist(), chosen.tolist(), rewards, propensities, strict=True
        ):
            told: dict[str, float] = {}
            if self.shadowed[row - self.table.first]:
                for other in self._beside(row, arm):
                    said = self.table.predictions[other, row]
                    value = float(self.matrix[said, self.table.labels[row]])
                    fields = {"served": False, "beside": arms[arm], "others": dict(told) or None}
                    records.append(self._reward(row, arms[other], value, None, **fields))
                    told[arms[other]] = value
            records.append(self._reward(row, arms[arm], reward, propensity, others=told or None))
        for start in range(0, len(records), self.batch):
            self._fold("rewards", records[start : start + self.batch])

    def _beside(self, row: int, served: int) -> list[int]:
        """Arms that were deployed when the row was served, but for the one that answered."""
        able = np.flatnonzero(self.table.since <= row - (row - self.table.first) % BLOCK)
        return [arm for arm in able.tolist() if arm != served]

    def _reward(
        self, row: int, arm: str, reward: float, propensity: float | None, **fields: Any
    ) -> Record:
        asked_ms = self._start_ms + row * STEP_MS
        told_ms = asked_ms + DELAY * STEP_MS
        value = encode(
            Reward(
                request_id=f"row-{row}",
                route=self.route,
                arm=arm,
                reward=reward,
                propensity=propensity,
                predicted_at_ms=asked_ms,
                labelled_at_ms=told_ms,
                attributed_at_ms=told_ms,
                **fields,
            )
        )
        return Record("rewards", row, told_ms, value, self.route.encode())

    def _command(self, action: Action, arm: str, row: int, params: dict[str, Any] | None) -> None:
        now_ms = self._start_ms + row * STEP_MS
        self._offset += 1
        command = Command(
            command_id=f"{action}-{arm}",
            route=self.route,
            action=action,
            arm=arm,
            params=params,
            actor="experiment",
            issued_at_ms=now_ms,
        )
        record = Record("commands", self._offset, now_ms, encode(command), self.route.encode())
        self._fold("commands", [record])

    def _fold(self, kind: InputKind, records: list[Record]) -> None:
        outcome = learn(
            [(kind, records)], self.states, self.routes, max_value_bytes=_MAX_VALUE_BYTES
        )
        if outcome.dead_letters:
            raise RuntimeError(outcome.dead_letters[0].detail)
        self.states.update(outcome.states)
