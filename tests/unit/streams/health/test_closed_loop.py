"""The closed loop: acknowledgements, the observed mix, rollbacks that are not followed."""

import numpy as np
import pytest
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
from leverframe.schemas.control import ControlAck, ControlMessage
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.traffic import (
    CHECKED,
    MISPLACED,
    NEARBY_CHECKED,
    NEARBY_MISPLACED,
    NEARBY_ORPHAN_LABELS,
    AgedCount,
    ServedCount,
    Traffic,
)
from leverframe.streams.attribution.traffic import (
    OTHER_ARMS,
    AgedCounts,
    ServedCounts,
    ServedTally,
    merge,
    tally,
    traffic_of,
)
from leverframe.streams.health.closed_loop import OTHERS
from leverframe.streams.health.join import JOIN_COUNTS
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.state import RouteState, encode_route, state_digest
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Route, Routes
from leverframe.streams.routes.settings import FollowingSettings

SECOND = 1000


def record(topic: str, value: ControlAck | Traffic, at: int) -> Record:
    return Record(b"r", encode(value), T0 + at, topic=topic)


def ack(replica: str, epoch: int, seq: int, at: int = 0) -> Record:
    value = ControlAck(
        route="r",
        replica=replica,
        epoch=epoch,
        seq=seq,
        applied_at_ms=T0 + at,
        weights_digest="",
    )
    return record("control-acks", value, at)


def traffic(counts: dict[str, int], at: int, version: tuple[int, int] | None = None) -> Record:
    epoch, seq = version or (None, None)
    served = [
        ServedCount(arm=arm, epoch=epoch, seq=seq, count=count, from_ms=T0 + at)
        for arm, count in counts.items()
        if count
    ]
    return record("traffic", Traffic(route="r", served=served, until_ms=T0 + at), at)


class Job:
    """A route with two arms at 0.5 each, in service."""

    def __init__(self, default_reward: float | None = None, **following: float) -> None:
        self.states: dict[str, RouteState] = {}
        self.routes: Routes = routes(
            policy="epsilon_greedy",
            nursery_labels=0,
            max_step=1.0,
            default_reward=default_reward,
            following=FollowingSettings(**following),  # type: ignore[arg-type]
        )
        self.messages: list[ControlMessage] = []
        self.take(reward_record("a", 1.0), reward_record("b", 1.0), command_record("freeze"))

    @property
    def state(self) -> RouteState:
        return self.states["r"]

    @property
    def route(self) -> Route:
        route = self.routes.get("r")
        assert route is not None
        return route

    def take(self, *records: Record) -> list[ControlMessage]:
        outcome = learn(
            learning_runs(records), self.states, self.routes, max_value_bytes=MAX_VALUE_BYTES
        )
        assert not outcome.dead_letters
        self.states |= outcome.states
        self.messages += outcome.control
        return outcome.control

    def served(self, shares: dict[str, float], seconds: int, seed: int) -> list[str]:
        """Ten predictions a second for a while; return the alarms raised."""
        rng = np.random.default_rng(seed)
        version = self.state.epoch, self.state.seq
        arms = list(shares)
        raised = []
        for second in range(seconds):
            counts = rng.multinomial(10, list(shares.values())).tolist()
            record_ = traffic(dict(zip(arms, counts, strict=True)), second * SECOND, version)
            raised += [str(message.cause["why"]) for message in self.take(record_)]
        return raised


def test_mix_that_follows_the_weights_is_quiet() -> None:
    """Five routes, an hour each with a look every second: no alarm at alpha 0.001 each."""
    for seed in range(5):
        job = Job()
        assert job.served(job.state.weights, 3600, seed) == []


def test_mix_that_does_not_follow_is_found() -> None:
    """Half of the replicas ignore the weights: found within 200 predictions, said once."""
    for seed in range(20):
        job = Job()
        weights = job.state.weights
        off = {arm: (share + (arm == "b")) / 2 for arm, share in weights.items()}
        raised = job.served(off, 20, seed)
        assert raised == ["weights_not_followed"]
        cause = job.messages[-1].cause
        assert cause["log_evidence"] >= cause["log_threshold"]
        assert job.states["r"].loop.alarms


def test_mix_is_not_judged_where_users_are_the_unit() -> None:
    """``check_mix = false``."""
    job = Job(check_mix=False)
    assert job.served({"a": 0.0, "b": 1.0}, 60, 0) == []
    assert job.state.loop.served == {"b": 600}


def test_mix_of_predictions_that_name_no_message_is_not_judged() -> None:
    """Nobody knows which weights they were drawn with."""
    job = Job()
    for second in range(60):
        assert job.take(traffic({"b": 10}, second * SECOND)) == []


def test_rollback_that_is_not_followed_raises_an_alarm_after_the_grace_time() -> None:
    """In the grace time old requests may still arrive; after it the alarm names who lags behind."""
    job = Job(grace_s=5.0)
    job.take(ack("web-1", 0, job.state.seq), ack("web-2", 0, job.state.seq))
    (rollback,) = job.take(command_record("rollback", "b", at=10 * SECOND))
    assert rollback.cause["replicas"] == ["web-1", "web-2"]
    job.take(ack("web-1", rollback.epoch, rollback.seq, 10 * SECOND + 50))
    assert job.take(traffic({"b": 3}, 14 * SECOND)) == []
    (alarm,) = job.take(traffic({"a": 9, "b": 3}, 16 * SECOND))
    assert (alarm.kind, alarm.cause["why"]) == ("routing", "rollback_not_effective")
    assert (alarm.cause["arm"], alarm.cause["served_after_grace"]) == ("b", 3)
    assert alarm.cause["replicas_behind"] == ["web-2"]
    assert alarm.weights == rollback.weights
    assert job.take(traffic({"b": 2}, 17 * SECOND)) == []
    beat = heartbeat(job.state, job.route, T0 + 18 * SECOND)
    assert beat.cause["following"]["alarms"]["rollback_not_effective"]["served_after_grace"] == 5
    assert beat.cause["following"]["behind"] == ["web-2"]


def test_alarm_ends_when_its_cause_does() -> None:
    """A minute without new evidence."""
    job = Job()
    job.take(command_record("rollback", "b"))
    job.take(traffic({"b": 1}, 6 * SECOND))
    assert "rollback_not_effective" in job.state.loop.alarms
    job.take(traffic({"a": 1}, 67 * SECOND))
    assert job.state.loop.alarms == {}


def test_released_arm_may_be_served_again() -> None:
    """A release ends the watch."""
    job = Job()
    job.take(command_record("rollback", "b"), command_record("release", "b", at=SECOND))
    assert job.take(traffic({"b": 5}, 60 * SECOND)) == []


def test_closed_loop_never_touches_the_digest() -> None:
    """A replay of rewards and commands alone gives the same digest."""
    job = Job()
    before = state_digest(job.state), dict(job.state.weights)
    job.take(ack("web-1", 0, 1), traffic({"b": 500}, 0, (0, job.state.seq)))
    job.take(ack("web-1", 0, 2))
    assert (state_digest(job.state), job.state.weights) == before


def test_replicas_that_fell_silent_are_forgotten() -> None:
    """A replica that was shut down is not behind for ever; an old ack changes nothing."""
    job = Job()
    job.take(ack("web-1", 0, 9), ack("web-1", 0, 4), ack("web-2", 0, 9, 1000 * SECOND))
    assert list(job.state.loop.replicas) == ["web-2"]


@pytest.mark.parametrize("cut", [0, 3, 10])
def test_tally_does_not_depend_on_the_cut(cut: int) -> None:
    """Two tallies merged are the tally of all."""
    predictions = [
        Prediction(request_id=str(i), route="r", arm="ab"[i % 2], prediction=1, epoch=0, seq=i // 4)
        for i in range(10)
    ]
    whole: ServedTally = {}
    parts: list[ServedTally] = [{}, {}]
    for i, prediction in enumerate(predictions):
        tally(whole, prediction, 100 + i)
        tally(parts[i >= cut], prediction, 100 + i)
    merge(parts[0], parts[1])
    assert parts[0] == whole
    joins = {("label", "r", "a"): 3, ("label", "r", "b"): 1, ("early_label", "", ""): 1}
    (seen,) = traffic_of(whole, joins, {}, 0)
    assert seen.joins == {"label": 4}
    assert seen.arms == {"a": {"label": 3}, "b": {"label": 1}}
    assert sum(part.count for part in seen.served) == 10
    assert seen.until_ms == 109


def test_heartbeat_tells_the_health_of_the_join() -> None:
    """Counts since the route began, coverage, and how long labels take."""
    job = Job()
    seen = Traffic(route="r", served=[], until_ms=T0, joins={"prediction": 8, "labelled": 6})
    job.take(record("traffic", seen, 0), record("traffic", seen, SECOND))
    late = reward_record("a", 1.0, 9000, request_id="q", predicted_at_ms=T0)
    job.take(late)
    beat = heartbeat(job.state, job.route, T0 + 10 * SECOND)
    assert beat.cause["joins"] == {
        "prediction": 16,
        "labelled": 12,
        "coverage": 0.75,
        "waiting": 0,
        "oldest_waiting_ms": None,
    }
    p50, _, p99 = beat.cause["arms"]["a"]["label_delay_ms"]
    assert (p50, round(p99)) == (0.0, 9742)
    job.take(
        reward_record(
            "a",
            None,
            9500,
            request_id="q",
            predicted_at_ms=T0,
            previous_reward=1.0,
            revision=1,
            counted_at_ms=T0 + 9000,
        )
    )
    assert sum(job.state.arms["a"].delays.values()) == 1
    beat = heartbeat(job.state, job.route, T0 + 10 * SECOND)
    assert beat.cause["arms"]["a"]["label_delay_ms"] == [0.0, 0.0, 0.0]


def test_arms_that_nobody_registered_are_one() -> None:
    """Names come from producers: they can fill neither the state nor a heartbeat."""
    job = Job()
    version = job.state.epoch, job.state.seq
    before = len(encode_route(job.state))
    for second in range(40):
        names = {f"stranger-{second}-{i}": 1 for i in range(400)}
        job.take(traffic(names, second * SECOND, version))
    assert set(job.state.loop.mix) <= {"a", "b", OTHERS}
    assert len(encode_route(job.state)) < before + 2000


def test_counts_of_a_producer_cannot_break_the_state() -> None:
    """The largest counts that the wire allows are summed up to what the ledger can hold."""
    job = Job()
    for _ in range(5):
        seen = Traffic(
            route="r",
            served=[ServedCount(arm="a", epoch=0, seq=job.state.seq, count=10**9, from_ms=T0)],
            until_ms=T0,
            joins={"label": 10**9},
        )
        job.take(record("traffic", seen, 0))
    assert encode_route(job.state)
    value = encode(seen).replace(b"1000000000", b"9223372036854775807")
    outcome = learn(
        [("traffic", [Record(b"r", value, T0, topic="traffic")])],
        job.states,
        job.routes,
        max_value_bytes=MAX_VALUE_BYTES,
    )
    assert [letter.reason for letter in outcome.dead_letters] == ["invalid"]


def test_tally_and_records_stay_small() -> None:
    """20,000 names in a second come to a few records that Kafka takes."""
    served: ServedTally = {}
    for i in range(20_000):
        prediction = Prediction(request_id=str(i), route="r", arm=f"arm-{i}", prediction=1)
        tally(served, prediction, T0)
    told = traffic_of(served, {}, {}, T0)
    assert sum(part.count for seen in told for part in seen.served) == 20_000
    assert max(len(encode(seen)) for seen in told) < 100_000
    assert OTHER_ARMS in {part.arm for seen in told for part in seen.served}


def test_replica_cannot_claim_the_future() -> None:
    """Neither a clock that runs ahead nor a version that was never published hides others."""
    job = Job()
    ahead = ControlAck(
        route="r",
        replica="web-2",
        epoch=99,
        seq=99,
        applied_at_ms=T0 + 10**9,
        weights_digest="",
    )
    job.take(ack("web-1", 0, 1), record("control-acks", ahead, 1))
    assert set(job.state.loop.replicas) == {"web-1", "web-2"}
    (rollback,) = job.take(command_record("rollback", "b", at=SECOND))
    assert job.state.loop.behind((rollback.epoch, rollback.seq)) == ["web-1", "web-2"]


def test_rollback_while_pinned_is_watched_too() -> None:
    """Weights do not change, but the arm is off."""
    job = Job()
    job.take(command_record("pin", "a"), command_record("rollback", "b", at=1))
    (alarm,) = job.take(traffic({"b": 1}, 60 * SECOND))
    assert alarm.cause["why"] == "rollback_not_effective"


def orphaned(orphans: int, labelled: int, labels: int, at: int) -> Record:
    joins = {"orphan_prediction": orphans, "labelled": labelled, NEARBY_ORPHAN_LABELS: labels}
    return record("traffic", Traffic(route="r", served=[], until_ms=T0 + at, joins=joins), at)


def test_halves_that_never_meet_raise_an_alarm() -> None:
    """Orphans on both sides of the join: labels and predictions lie in different partitions."""
    job = Job()
    (message,) = job.take(*(orphaned(75, 25, 70, at * SECOND) for at in range(2)))
    assert message.cause["why"] == "suspected_partitioner_mismatch"
    assert message.cause["orphan_share"] == 0.75
    assert "leverframe doctor" in message.cause["cure"]


@pytest.mark.parametrize(
    ("orphans", "labelled", "labels"),
    [(180, 20, 0), (20, 180, 500), (0, 300, 0)],
    ids=["label outage", "labels of requests that are not ours", "all meet"],
)
def test_one_sided_orphans_raise_nothing(orphans: int, labelled: int, labels: int) -> None:
    """An outage of labels, or labels of more requests than are predicted, is no mismatch."""
    job = Job()
    assert job.take(orphaned(orphans, labelled, labels, 0)) == []


def test_heartbeat_tells_the_join_of_each_arm() -> None:
    """Counts by arm, what waits and since when; arms that nobody registered count in the total."""
    job = Job()
    seen = Traffic(
        route="r",
        served=[],
        until_ms=T0 + 20 * SECOND,
        joins={"prediction": 7, "labelled": 3},
        arms={"a": {"prediction": 4, "labelled": 3}, "stranger": {"prediction": 3}},
        aged=[AgedCount(arm="a", from_ms=T0 + 5 * SECOND, predicted=4, settled=3)],
    )
    job.take(record("traffic", seen, 0))
    arms = heartbeat(job.state, job.route, T0 + 20 * SECOND).cause["arms"]
    assert arms["a"]["join"] == {
        "prediction": 4,
        "labelled": 3,
        "coverage": 0.75,
        "waiting": 1,
        "oldest_waiting_ms": 15 * SECOND,
    }
    assert arms["b"]["join"] == {"coverage": None, "waiting": 0, "oldest_waiting_ms": None}


def test_traffic_of_hostile_names_stays_below_the_limit_of_a_record() -> None:
    """Thousands of arms with the longest names, all of them escaped: no record of 1 MB."""
    names = [f"{at:04d}".ljust(128, "\x01") for at in range(3000)]
    served: ServedTally = {
        ("r", name, 2**62, 2**62, name): ServedCounts(10**8, T0, T0) for name in names
    }
    joins = {(what, "r", name): 10**8 for what in JOIN_COUNTS for name in names}
    aged = {("r", name, T0): AgedCounts(10**8, 10**8) for name in names}
    told = traffic_of(served, joins, aged, T0)
    assert sum(len(seen.arms) for seen in told) == len(names)
    assert max(len(encode(seen)) for seen in told) < 900_000


def defaulted(at: int, *, met: int, labels: int, lie: tuple[int, int, int, int]) -> Record:
    """A second of a route with a default reward: 1,000 predictions without a label.

    ``lie``: predictions checked, those misplaced, labels checked, those misplaced.
    """
    sample = dict(zip((CHECKED, MISPLACED, NEARBY_CHECKED, NEARBY_MISPLACED), lie, strict=True))
    joins = {"expiry": 1000, "labelled": met, NEARBY_ORPHAN_LABELS: labels, **sample}
    return record("traffic", Traffic(route="r", served=[], until_ms=T0 + at, joins=joins), at)


@pytest.mark.parametrize(
    "lie", [(100, 0, 60, 60), (100, 75, 60, 0)], ids=["labels elsewhere", "predictions elsewhere"]
)
def test_a_foreign_partitioner_is_found_beside_a_default_reward(
    lie: tuple[int, int, int, int],
) -> None:
    """Few labels are as usual there; which side lies in the wrong partitions is not."""
    job = Job(default_reward=0.0)
    assert job.take(defaulted(0, met=20, labels=60, lie=lie)) == []
    (message,) = job.take(defaulted(SECOND, met=20, labels=60, lie=lie))
    assert message.cause["why"] == "suspected_partitioner_mismatch"
    assert message.cause["orphan_label_share"] == 0.75
    assert "120 labels (75.0%) stayed alone" in why(message)
    assert "suspected_partitioner_mismatch" in job.state.loop.alarms


@pytest.mark.parametrize(
    ("met", "labels", "lie"),
    [
        (40, 0, (100, 0, 0, 0)),
        (40, 500, (100, 0, 50, 0)),
        (40, 500, (100, 75, 50, 37)),
        (400, 50, (100, 0, 50, 50)),
    ],
    ids=["no click", "labels not ours", "both hash alike", "a few"],
)
def test_lonely_halves_are_as_usual_beside_a_default_reward(
    met: int, labels: int, lie: tuple[int, int, int, int]
) -> None:
    """Neither clicks that never come nor labels of other requests are a mismatch."""
    job = Job(default_reward=0.0)
    for second in range(4):
        assert job.take(defaulted(second * SECOND, met=met, labels=labels, lie=lie)) == []


def test_heartbeat_says_that_no_label_is_an_answer() -> None:
    """The page must not call few labels a fault where a default reward stands for none."""
    job = Job(default_reward=0.0)
    job.take(defaulted(0, met=20, labels=0, lie=(0, 0, 0, 0)))
    assert heartbeat(job.state, job.route, T0).cause["joins"]["default_reward"] == 0.0
    plain = Job()
    plain.take(orphaned(0, 100, 0, 0))
    assert "default_reward" not in heartbeat(plain.state, plain.route, T0).cause["joins"]
