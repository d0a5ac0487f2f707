"""The observed mix where users have many requests each: one draw of each unit and period."""

import numpy as np
import pytest
from records import (
    MAX_VALUE_BYTES,
    T0,
    Record,
    command_record,
    learning_runs,
    prediction_record,
    reward_record,
    routes,
    runs,
)

from leverframe.schemas.codec import encode
from leverframe.schemas.traffic import Traffic
from leverframe.serving.assigner import Assigner
from leverframe.streams.attribution.step import attribute
from leverframe.streams.attribution.traffic import merge, traffic_of
from leverframe.streams.attribution.units import NewUnits
from leverframe.streams.learning.state import RouteState, salt_of
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Routes

HOUR = 3_600_000


class Worker:
    """One worker's attribution, as far as traffic goes."""

    def __init__(self, route: Routes) -> None:
        self.routes, self.units = route, NewUnits()

    def traffic(self, predictions: list[Record]) -> list[Traffic]:
        served, batch = {}, runs(predictions, "predictions")
        outcome = attribute(batch, {}, self.routes, max_value_bytes=MAX_VALUE_BYTES)
        assert not outcome.dead_letters
        merge(served, outcome.served)
        self.units.take(outcome.units)
        return traffic_of(served, {}, {}, T0, self.units.give())


class Job:
    """Two arms at 0.5 each, and two workers that share the predictions."""

    def __init__(self, *, has_units: bool, reassign_units: str | None = "1h") -> None:
        self.has_units, self.reassign_units = has_units, reassign_units
        self.routes = routes(
            policy="epsilon_greedy", nursery_labels=0, max_step=1.0, reassign_units=reassign_units
        )
        self.workers = [Worker(self.routes) for _ in range(2)]
        self.states: dict[str, RouteState] = {}
        self.take(reward_record("a", 1.0), reward_record("b", 1.0), command_record("freeze"))

    def take(self, *records: Record) -> list[str]:
        batch = learning_runs(records)
        outcome = learn(batch, self.states, self.routes, max_value_bytes=MAX_VALUE_BYTES)
        assert not outcome.dead_letters
        self.states |= outcome.states
        return [str(message.cause["why"]) for message in outcome.control]

    def serve(self, who: list[int], at: int, follows: float = 1.0) -> list[str]:
        """Serve a batch of users at a time; some follow the weights, others get arm b."""
        state, raised = self.states["r"], []
        period = None if self.reassign_units is None else (T0 + at) // HOUR
        assigner = Assigner(state.weights, salt_of("r", period))
        predictions = []
        for i, user in enumerate(who):
            unit = f"user-{user}"
            arm = assigner.assign(unit)[0] if user % 100 < 100 * follows else "b"
            fields = {"unit_id": unit} if self.has_units else {}
            predictions.append(
                prediction_record(
                    f"{at}-{i}", at, arm=arm, epoch=state.epoch, seq=state.seq, **fields
                )
            )
        for worker, part in zip(self.workers, (predictions[::2], predictions[1::2]), strict=True):
            for seen in worker.traffic(part):
                raised += self.take(Record(b"r", encode(seen), T0 + at, topic="traffic"))
        return raised


def users(seed: int, seconds: int) -> list[list[int]]:
    """Whom each second serves: 20 requests of 300 users, Zipf 1.1."""
    rng = np.random.default_rng(seed)
    weights = np.arange(1, 301) ** -1.1
    return rng.choice(300, (seconds, 20), p=weights / weights.sum()).tolist()


@pytest.mark.parametrize("reassign_units", ["1h", None])
def test_mix_of_sticky_users_is_quiet_where_they_are_named(reassign_units: str | None) -> None:
    """Five routes, each 400 seconds spread over 4 hours: no alarm at alpha 0.001 each.

    The same requests without their units raise one on nearly every route.
    """
    named = unnamed = 0
    for seed in range(5):
        jobs = [Job(has_units=has, reassign_units=reassign_units) for has in (True, False)]
        raised = [
            [why for i, who in enumerate(users(seed, 400)) for why in job.serve(who, i * 36_000)]
            for job in jobs
        ]
        named += "weights_not_followed" in raised[0]
        unnamed += "weights_not_followed" in raised[1]
    assert named == 0
    assert unnamed >= 4


def test_mix_of_users_that_does_not_follow_is_found() -> None:
    """Half of the replicas ignore the weights: found on each of 10 routes in 2,000 requests."""
    for seed in range(10):
        job = Job(has_units=True)
        raised = [
            why
            for i, who in enumerate(users(100 + seed, 100))
            for why in job.serve(who, i * 36_000, follows=0.5)
        ]
        assert "weights_not_followed" in raised


def test_mix_counts_a_unit_once_whoever_served_it() -> None:
    """Two workers, one user: predictions are all counted, draws are one an hour."""
    job = Job(has_units=True)
    assert job.serve([1] * 10, 0) == []
    assert job.serve([1] * 10, 1000) == []
    loop = job.states["r"].loop
    assert sum(loop.served.values()) == 20
    assert len(loop.units.now) == 1
    assert sum(capital.steps for capital in loop.mix.values()) == 2  # one draw, seen by two arms
