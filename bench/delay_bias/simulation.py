"""Requests whose labels take time, through the product's own steps, in simulated time.

Two arms answer; how long a label takes may depend on the arm and on the outcome. Every second of
stream time what arrived goes through ``attribute``, ``sweep``, ``traffic_of`` and ``learn``, as in
the workers; the weights that come out choose the arms of the next second.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.attribution.entries import Entry
from leverframe.streams.attribution.expiry import sweep
from leverframe.streams.attribution.step import attribute
from leverframe.streams.attribution.traffic import merge_ages, traffic_of
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.statistics import arm_stats, corrected_stats
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import RouteSettings

T0: Final = 1_700_000_000_000
ARMS: Final = ("fast", "slow")
ROUTE: Final = "route"
SWEEP_EVERY_S: Final = 10


class Arrived(NamedTuple):
    """A Kafka record as the steps see it."""

    key: bytes
    value: bytes
    timestamp: int
    topic: str
    offset: int
    partition: int = 0


@dataclass(frozen=True)
class Scenario:
    """What is served and how its labels come.

    Attributes
    ----------
    quality : tuple of float
        Chance of a good outcome, of the fast and of the slow arm.
    delay_s : callable
        From a generator, the arm and the outcome to the label's delay, s; None for no label.
    per_s : int
        Requests a second.
    rules : dict
        Settings of the route.
    """

    quality: tuple[float, float]
    delay_s: Callable[[np.random.Generator, str, bool], float | None]
    per_s: int = 2
    rules: dict[str, Any] = field(default_factory=dict)


class Look(NamedTuple):
    """At one time: means of both arms, the slow one's share of all requests, rollbacks so far."""

    at_s: int
    plain: tuple[float, float]
    corrected: tuple[float, float]
    served_slow: float
    rollbacks: int


class _Job:
    """Attribution and learning of one partition, without Kafka."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self.entries: dict[str, Entry] = {}
        self.states: dict[str, RouteState] = {}
        self.due: dict[int, list[str]] = {}
        self.offset = 0
        self.rollbacks = 0

    def _records(self, topic: str, values: Sequence[Any], now_ms: int) -> list[Arrived]:
        made = []
        for value in values:
            self.offset += 1
            made.append(Arrived(value.route.encode(), encode(value), now_ms, topic, self.offset))
        return made

    def second(self, records: Sequence[Arrived], now_ms: int, *, with_sweep: bool) -> None:
        """Take what arrived in one second, and tell it on."""
        runs = [(record.topic == "predictions", [record]) for record in records]
        out = attribute(runs, self.entries, self.routes, max_value_bytes=10_000)
        self.entries |= out.entries
        self._expiring(out.expiring)
        rewards, counts, aged = out.rewards, out.counts, out.aged
        if with_sweep:
            ids = [name for at in sorted(self.due) if at < now_ms for name in self.due.pop(at)]
            found = sweep({name: self.entries.get(name) for name in ids}, now_ms, self.routes)
            self.entries |= found.changed
            for name in found.expired:
                del self.entries[name]
            self._expiring(found.expiring)
            rewards = rewards + found.rewards
            counts.update(found.counts)
            merge_ages(aged, found.aged)
        told = traffic_of(out.served, counts, aged, now_ms)
        batches: list[tuple[Any, Sequence[Any]]] = [
            ("rewards", self._records("rewards", rewards, now_ms)),
            ("traffic", self._records("traffic", told, now_ms)),
        ]
        learned = learn(batches, self.states, self.routes, max_value_bytes=1 << 20)
        self.states |= learned.states
        self.rollbacks += sum(message.kind == "rollback" for message in learned.control)

    def _expiring(self, expiring: Any) -> None:
        for at, names in expiring.items():
            self.due.setdefault(at, []).extend(names)

    @property
    def state(self) -> RouteState | None:
        return self.states.get(ROUTE)


def watched(scenario: Scenario, seed: int, looks_s: Sequence[int], **rules: Any) -> Iterator[Look]:
    """Run one route."""
    rng = np.random.default_rng(seed)
    settings = RouteSettings(**{**scenario.rules, **rules})
    job = _Job(Routes({ROUTE: settings}, None))
    coming: list[tuple[int, int, Arrived]] = []
    shares = np.array([0.5, 0.5])
    served = 0
    for second in range(looks_s[-1] + 1):
        now_ms = T0 + 1000 * second
        arrived = []
        for _ in range(scenario.per_s):
            job.offset += 1
            arm = int(rng.random() < shares[1])
            served += arm
            arrived += _request(scenario, rng, job.offset, now_ms, arm, coming)
        while coming and coming[0][0] <= now_ms:
            arrived.append(heapq.heappop(coming)[2])
        job.second(arrived, now_ms, with_sweep=second % SWEEP_EVERY_S == 0)
        if job.state is not None and job.state.arms:
            wanted = np.array([job.state.weights.get(arm, 0.0) for arm in ARMS])
            shares = wanted / wanted.sum() if wanted.sum() > 0 else shares
        if second in looks_s:
            yield _look(job, second, served / (scenario.per_s * (second + 1)))


def _request(
    scenario: Scenario,
    rng: np.random.Generator,
    number: int,
    now_ms: int,
    arm: int,
    coming: list[tuple[int, int, Arrived]],
) -> list[Arrived]:
    """One prediction, and its label for later."""
    name = f"q{number}"
    key = name.encode()
    is_good = bool(rng.random() < scenario.quality[arm])
    prediction = Prediction(
        request_id=name, route=ROUTE, arm=ARMS[arm], prediction=0, propensity=0.5
    )
    delay_s = scenario.delay_s(rng, ARMS[arm], is_good)
    if delay_s is not None:
        at_ms = now_ms + round(1000 * delay_s)
        label = GroundTruth(request_id=name, label=int(is_good))
        record = Arrived(key, encode(label), at_ms, "ground-truth", number)
        heapq.heappush(coming, (at_ms, number, record))
    return [Arrived(key, encode(prediction), now_ms, "predictions", number)]


def _look(job: _Job, second: int, served: float) -> Look:
    state, route = job.state, job.routes.get(ROUTE)
    if state is None or route is None or set(state.arms) != set(ARMS):
        unknown = (float("nan"), float("nan"))
        return Look(second, unknown, unknown, served, job.rollbacks)
    stats = arm_stats(state, route.settings.bucket_ms)
    corrected = corrected_stats(state, route, stats, T0 + 1000 * second)
    fast, slow = (list(state.arms).index(arm) for arm in ARMS)
    plain_means, corrected_means = (
        (float(means[fast]), float(means[slow])) for means in (stats.mean, corrected.mean)
    )
    return Look(second, plain_means, corrected_means, served, job.rollbacks)
