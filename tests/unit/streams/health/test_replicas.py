"""One replica of many does not follow: it is found by itself, named, and nobody else is."""

from collections import Counter

import numpy as np
from records import (
    MAX_VALUE_BYTES,
    T0,
    Record,
    command_record,
    learning_runs,
    reward_record,
    routes,
)

from leverframe.agents.operator.narrate import why
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.traffic import Traffic
from leverframe.streams.attribution.traffic import ServedTally, tally, traffic_of
from leverframe.streams.health.replicas import Watching, watch
from leverframe.streams.learning.state import RouteState, decode_route, encode_route
from leverframe.streams.learning.step import learn

SECOND = 1000
FLEET = [f"web-{number}" for number in range(50)]
KNOWN = routes(policy="epsilon_greedy", nursery_labels=0, max_step=1.0)


class Job:
    """A route with two arms at 0.5 each, and the predictions of a fleet."""

    def __init__(self) -> None:
        self.states: dict[str, RouteState] = {}
        self.take(reward_record("a", 1.0), reward_record("b", 1.0), command_record("freeze"))

    def take(self, *records: Record) -> list[ControlMessage]:
        outcome = learn(learning_runs(records), self.states, KNOWN, max_value_bytes=MAX_VALUE_BYTES)
        assert not outcome.dead_letters
        kept = {name: decode_route(encode_route(one)) for name, one in outcome.states.items()}
        self.states |= kept
        return outcome.control

    def second(self, at: int, served: list[tuple[str, str]]) -> list[ControlMessage]:
        """Let predictions of a second, by replica and arm, come through the join's tally."""
        state, tallied = self.states["r"], ServedTally()
        for number, (replica, arm) in enumerate(served):
            one = Prediction(
                request_id=f"{at}-{number}",
                route="r",
                arm=arm,
                prediction=1,
                epoch=state.epoch,
                seq=state.seq,
                replica=replica,
            )
            tally(tallied, one, T0 + at * SECOND)
        told: list[Traffic] = traffic_of(tallied, {}, {}, T0 + at * SECOND)
        return self.take(
            *(Record(b"r", encode(one), T0 + at * SECOND, topic="traffic") for one in told)
        )


def test_one_of_fifty_that_serves_one_arm_alone_is_named() -> None:
    """Within 60 of its own predictions, when the route's shares have moved by a hundredth."""
    for seed in range(5):
        job, rng = Job(), np.random.default_rng(seed)
        for at in range(60):
            arms = rng.choice(["a", "b"], len(FLEET)).tolist()
            arms[7] = "b"
            alarms = job.second(at, list(zip(FLEET, arms, strict=True)))
            if alarms:
                break
        (alarm,) = alarms
        assert alarm.cause["why"] == "weights_not_followed"
        assert alarm.cause["replica"] == "web-7"
        assert "at replica web-7" in why(alarm)


def test_those_who_follow_are_not_named() -> None:
    """60 fleets of 10, a look each second for a minute, at alpha 0.05 a fleet: 7 at most.

    More than that would be seen with a chance of 0.012 where the promise just holds.
    """
    accused = 0
    for seed in range(60):
        rng, watching = np.random.default_rng(seed), Watching({})
        found = None
        for _ in range(60):
            draws = rng.binomial(8, 0.3, 10).tolist()
            counts = {
                FLEET[at]: Counter({"a": drawn, "b": 8 - drawn}) for at, drawn in enumerate(draws)
            }
            found = watch(watching, {"a": 0.3, "b": 0.7}, counts, 0.05, T0) or found
        accused += found is not None
    assert accused <= 7


def test_who_serves_what_was_rolled_back_is_named() -> None:
    """By its predictions after the grace time; who stopped in it is not."""
    job = Job()
    job.take(command_record("rollback", "b"))
    assert job.second(3, [("web-1", "b"), ("web-2", "b")]) == []
    (alarm,) = job.second(9, [("web-1", "a"), ("web-2", "b"), ("web-2", "b")])
    assert alarm.cause["served_by"] == {"web-2": 2}
    assert "served by web-2 (2)" in why(alarm)


def test_many_names_are_bounded() -> None:
    """Pods come and go for ever: 64 are watched, and one that is gone gives its place away."""
    watching = Watching({})
    for number in range(200):
        one = {f"pod-{number}": Counter(a=1)}
        watch(watching, {"a": 1.0}, one, 0.001, T0 + number * SECOND)
    assert len(watching.replicas) == 64
    assert watching.begun == 64 + 20  # those that came after the first had been gone for 180 s
    assert "pod-199" in watching.replicas
    assert "pod-0" not in watching.replicas
