"""Guardrails on metrics: an arm that errs or stalls is off before its first label."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from measured import measured, measured_record
from msgspec import structs
from records import command_record, reward_record, routes
from traffic_loop import Loop

from leverframe.agents.operator.narrate import headline, sentence
from leverframe.agents.web.marks import mark_of
from leverframe.agents.worker.notices import notice_of
from leverframe.schemas.causes import MetricCause, NoGoodArm, cause_of
from leverframe.schemas.measurements import METRICS_KEY
from leverframe.streams.learning.measured import is_held
from leverframe.streams.learning.state import decode_route, encode_route, state_digest
from leverframe.streams.routes.delivery import RampSettings
from leverframe.streams.routes.metrics import MetricSettings
from leverframe.streams.routes.settings import GuardSettings, NamedParams

ERROR = MetricSettings(role="guardrail", range=(0, 1))
LATENCY = MetricSettings(role="guardrail", range=(0, 2000), margin=20)
HALF = NamedParams(name="static", params={"weights": {"a": 0.5, "b": 0.5}})
Values = Callable[[random.Random, str], dict[str, float]]


class Measuring(Loop):
    """A route whose arms are registered by command, and never get a label."""

    def __init__(self, seed: int, metrics: dict[str, MetricSettings], **settings: Any) -> None:
        fixed = {"policy": HALF, "nursery_labels": 0, **settings}
        super().__init__(seed, routes(metrics=metrics, **fixed))
        self.asked = {"a": 0, "b": 0}
        for arm in ("a", "b"):
            self.take([command_record("register_arm", arm)])

    def measure(self, count: int, values: Values, share: float | None = None) -> None:
        """Serve requests by the weights in force, or by a given share of ``b``, ten a record."""
        for _ in range(count // 10):
            own = self.state.weights.get("b", 0.0) if share is None else share
            told = []
            for _ in range(10):
                arm = "b" if self.rng.random() < own else "a"
                self.asked[arm] += 1
                self.at += self.every_ms
                told.append(measured(arm, self.at, **values(self.rng, arm)))
            self.take([measured_record(told)])


def errs(a: float, b: float) -> Values:
    return lambda rng, arm: {"error": float(rng.random() < {"a": a, "b": b}[arm])}


def stalls(a: float, b: float) -> Values:
    return lambda rng, arm: {"latency_ms": rng.gauss({"a": a, "b": b}[arm], 30)}


def cause_in(loop: Loop) -> MetricCause:
    (message,) = loop.why("metric")
    cause = cause_of(message.cause)
    assert isinstance(cause, MetricCause)
    return cause


def test_alarm_says_that_all_arms_hurt_a_guardrail() -> None:
    """The first goes onto the other, and that one hurts too: it stays, told once, and when over."""
    loop = Measuring(1, {"error": MetricSettings(role="guardrail", range=(0, 1), at_most=0.05)})
    loop.measure(2000, errs(0.3, 0.4))
    assert cause_in(loop).arm == "b"
    (message,) = loop.why("no_good_arm")
    cause = cause_of(message.cause)
    assert isinstance(cause, NoGoodArm)
    assert (cause.arm, cause.arms, cause.metric) == ("a", 1, "error")
    assert cause.log_evidence >= cause.log_threshold > 0
    assert "against it (error)" in sentence(cause)
    assert "no_good_arm" in loop.state.loop.alarms
    loop.take([command_record("register_arm", "c")])
    loop.measure(4000, errs(0.0, 0.0))
    assert "no_good_arm" not in loop.state.loop.alarms


def test_an_arm_that_errs_is_off_within_150_of_its_requests() -> None:
    """5 % errors beside 0.5 %, a step of 5 %, never a label: the median of nine seeded routes."""
    asked = []
    for seed in range(9):
        loop = Measuring(seed, {"error": ERROR})
        loop.measure(2000, errs(0.005, 0.05), share=0.0)
        while not loop.why("metric"):
            loop.measure(20, errs(0.005, 0.05), share=0.05)
            assert loop.asked["b"] < 1000
        assert loop.state.arms["b"].phase == "quarantined"
        assert loop.state.weights == {"a": 1.0}
        assert sum(arm.count for arm in loop.state.arms.values()) == 0
        cause = cause_in(loop)
        assert (cause.arm, cause.metric, cause.traffic_to) == ("b", "error", "a")
        assert loop.why("metric")[0].kind == "rollback"
        asked.append(loop.asked["b"])
    assert sorted(asked)[4] <= 150


def test_a_champion_that_stalls_is_off_too() -> None:
    """Nobody is exempt; the record that decided is named."""
    loop = Measuring(1, {"latency_ms": LATENCY})
    loop.measure(400, stalls(100, 100))
    assert not loop.why("metric")
    loop.measure(400, stalls(400, 100))
    assert loop.state.champion == "b"
    cause = cause_in(loop)
    assert cause.arm == "a"
    assert cause.record is not None
    assert cause.mean == pytest.approx(400, abs=60)
    assert cause.reference_mean == pytest.approx(100, abs=20)


@pytest.mark.parametrize(
    ("settings", "suspect"),
    [
        (MetricSettings(role="guardrail", range=(0, 2000), at_most=300), 500),
        (MetricSettings(role="guardrail", range=(0, 2000), quantile=0.9, at_most=200), 250),
        (MetricSettings(role="guardrail", range=(0, 2000), quantile=0.9, margin=30), 200),
    ],
    ids=["mean and bound", "quantile and bound", "quantile and reference"],
)
def test_bounds_and_quantiles_convict(settings: MetricSettings, suspect: float) -> None:
    """Each kind of test leaves a good arm alone, and takes off a bad one; the cause says which."""
    loop = Measuring(2, {"latency_ms": settings})
    loop.measure(2000, stalls(100, 100))
    assert not loop.why("metric")
    loop.measure(1000, stalls(100, suspect))
    cause = cause_in(loop)
    assert cause.arm == "b"
    assert cause.test == ("reference" if settings.at_most is None else "bound")
    assert (cause.share is None or isinstance(cause.share, float)) or settings.quantile is None


def test_a_metric_whose_lower_values_are_worse() -> None:
    """Coverage, throughput: the bound is the least."""
    coverage = MetricSettings(role="guardrail", range=(0, 1), worse="lower", at_least=0.9)
    loop = Measuring(2, {"coverage": coverage})
    loop.measure(
        600, lambda rng, arm: {"coverage": float(rng.random() < (0.95 if arm == "a" else 0.6))}
    )
    cause = cause_in(loop)
    assert (cause.arm, cause.bound) == ("b", 0.9)
    assert cause.mean is not None
    assert cause.mean < 0.8


def test_good_arms_stay() -> None:
    """Equal arms in an outage of both; at alpha 0.01 one of 20 seeds fails by chance at most."""
    for seed in range(5):
        loop = Measuring(seed, {"error": ERROR, "latency_ms": LATENCY})
        for rate in (0.01, 0.5, 0.01, 0.2):
            loop.measure(
                400,
                lambda rng, _, rate=rate: {  # type: ignore[misc]
                    "error": float(rng.random() < rate),
                    "latency_ms": rng.expovariate(1 / (100 + 1000 * rate)),
                },
            )
        assert not loop.why("metric")


def test_a_signal_holds_and_rolls_nobody_back() -> None:
    """It keeps a ramp where it is, and says so; the arm keeps its traffic."""
    signal = MetricSettings(role="signal", range=(0, 2000))
    plan = RampSettings(dwell="1s", min_labels=5, gate="not_harmful")
    loop = Measuring(1, {"latency_ms": signal}, ramp=plan)
    assert not loop.refused([command_record("ramp", arm="b", at=loop.at)])
    loop.measure(2000, stalls(100, 500), share=0.5)
    assert not loop.why("metric")
    for _ in range(100):
        loop.at += 100
        loop.take([reward_record("b", 1.0, loop.at), reward_record("a", 1.0, loop.at)])
    waits = [(one.cause["step"], one.cause["how"]) for one in loop.why("ramp")]
    assert waits[-1] == ("waiting", "metric")
    assert loop.state.ramp is not None
    told = loop.messages[-1].cause["arms"]["b"]["metrics"]["latency_ms"]
    assert (told["role"], told["verdict"]) == ("signal", "harmful")
    assert told["mean"] == pytest.approx(500, abs=10)


@pytest.mark.parametrize("settings", [{"guard": GuardSettings(enabled=False)}, {}])
def test_a_person_outranks_a_guardrail(settings: dict[str, Any]) -> None:
    """A pinned arm stays, and so does every arm where the guard only looks."""
    loop = Measuring(1, {"error": ERROR}, **settings)
    if not settings:
        loop.take([command_record("pin", "b")])
    loop.measure(1000, errs(0.0, 0.5), share=0.5)
    assert not loop.why("metric")
    assert loop.state.arms["b"].is_eligible
    assert loop.state.measured is not None
    assert loop.state.measured.suspects == ["b"]


def test_a_released_arm_is_judged_anew() -> None:
    """Fresh evidence, not a fresh budget: what was proved once does not convict again."""
    loop = Measuring(1, {"error": ERROR})
    loop.measure(1000, errs(0.0, 0.5), share=0.5)
    known = loop.state.measured
    assert known is not None
    starts = known.arms["b"]["error"].capital.starts
    assert known.suspects == []
    loop.take([command_record("release", "b", loop.at)])
    loop.measure(1000, errs(0.0, 0.0), share=0.5)
    assert len(loop.why("metric")) == 1
    assert loop.state.measured is not None
    assert loop.state.measured.arms["b"]["error"].capital.starts >= starts


def test_a_unit_counts_once_a_period() -> None:
    """A heavy user who meets errors convicts nobody."""
    loop = Measuring(1, {"error": ERROR})
    for at in range(200):
        told = [measured("b", at, "heavy", error=1.0), measured("a", at, f"user-{at}", error=0.0)]
        loop.take([measured_record(told)])
    known = loop.state.measured
    assert known is not None
    assert known.arms["b"]["error"].count == 1
    assert known.arms["a"]["error"].count == 200


def test_what_a_units_labels_say_counts_beside_what_its_requests_say() -> None:
    """Once a period, too: the two are metrics of their own."""
    loop = Measuring(1, {"error": ERROR, "refund": MetricSettings(role="signal", range=(0, 100))})
    for at in range(20):
        said = measured("a", at, "heavy", error=0.0)
        label = structs.replace(measured("a", at, "heavy", refund=50.0), by_label=True)
        loop.take([measured_record([said, label])])
    known = loop.state.measured
    assert known is not None
    assert {name: sums.count for name, sums in known.arms["a"].items()} == {"error": 1, "refund": 1}


def test_bets_do_not_depend_on_micro_batches() -> None:
    """The same records in one micro-batch or each by itself: one state, one digest."""
    loop = Measuring(4, {"error": ERROR, "latency_ms": LATENCY})
    loop.measure(300, lambda r, arm: errs(0.1, 0.1)(r, arm) | stalls(100, 120)(r, arm))
    at_once = Loop(4, loop.route)
    at_once.take(loop.records)
    assert state_digest(at_once.state) == state_digest(loop.state)
    assert decode_route(encode_route(loop.state)) == loop.state


def test_new_settings_begin_anew() -> None:
    """Sums that were made by another range or kind say nothing of this one, and harm nothing."""
    loop = Measuring(1, {"latency_ms": LATENCY})
    loop.measure(300, stalls(100, 100))
    for settings in (
        MetricSettings(role="guardrail", range=(0, 500)),
        MetricSettings(role="guardrail", range=(0, 500), quantile=0.5),
        MetricSettings(role="signal", range=(0, 500), at_most=400),
    ):
        loop.route = routes(metrics={"latency_ms": settings}, policy=HALF, nursery_labels=0)
        loop.measure(300, stalls(100, 100))
        assert not loop.why("metric")
        assert loop.state.measured is not None
        sums = loop.state.measured.arms
        assert sum(one["latency_ms"].count for one in sums.values()) == 300


def test_what_is_told_of_nobody_counts_nothing() -> None:
    """Arms that are not registered, routes without metrics, wrong bytes: no state, no crash."""
    loop = Measuring(1, {"error": ERROR})
    assert not loop.refused([measured_record([measured("x", error=1.0)])])
    assert loop.state.measured is not None
    assert not loop.state.measured.arms
    assert loop.refused([measured_record([measured("a", error=1.0)], route="other")]) == [
        "unknown_route"
    ]
    good = measured_record([measured("a", error=1.0)])
    wrong = type(good)(METRICS_KEY + b"r", b"[]", good.timestamp, topic="rewards")
    foreign = type(good)(METRICS_KEY + b"q", good.value, good.timestamp, topic="rewards")
    assert loop.refused([wrong, foreign]) == ["invalid", "key_mismatch"]


def test_the_words_name_the_metric() -> None:
    """Headline, sentence, mark on the chart and webhook say which metric it was."""
    loop = Measuring(1, {"latency_ms": LATENCY})
    loop.measure(600, stalls(100, 400))
    message = loop.why("metric")[0]
    cause = cause_of(message.cause)
    assert headline(cause) == "b was rolled back by its latency_ms: harmful"
    said = sentence(cause)
    assert said.startswith("b was rolled back by its latency_ms: mean ")
    assert ", a mean " in said
    assert said.endswith("its traffic went to a")
    assert mark_of(message, message.cause, None).kind == "rollback"
    notice = notice_of(message)
    assert notice is not None
    assert notice.event == "rollback"


def test_a_metric_that_left_the_settings_holds_nobody() -> None:
    """What a signal proved ends with the signal; a role that changes breaks nothing."""
    signal = MetricSettings(role="signal", range=(0, 2000), at_most=300)
    loop = Measuring(1, {"latency_ms": signal})
    loop.measure(600, stalls(100, 900))
    assert loop.state.measured is not None
    route = loop.route.get("r")
    assert route is not None
    assert is_held(loop.state.measured, route, "b")
    for role in ("budget", "guardrail"):
        settings = MetricSettings(role=role, range=(0, 2000), at_most=300)
        loop.route = routes(metrics={"latency_ms": settings}, policy=HALF, nursery_labels=0)
        loop.measure(600, stalls(100, 100))
        assert not loop.why("metric")
    without = routes().get("r")
    assert without is not None
    assert not is_held(loop.state.measured, without, "b")
