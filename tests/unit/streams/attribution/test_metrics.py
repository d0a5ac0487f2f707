"""What predictions measure: told once, without a label, and never at the prediction's cost."""

import json
from typing import Any

import pytest
from records import MAX_VALUE_BYTES, T0, Record, label_record, prediction_record, routes, runs

from leverframe.schemas.codec import encode
from leverframe.schemas.measurements import Measured
from leverframe.streams.attribution.measured import records_of
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.step import attribute
from leverframe.streams.routes.metrics import MetricSettings

LATENCY = {"latency_ms": MetricSettings(role="guardrail", range=(0, 2000))}


def joined(*records: Record, metrics: Any = LATENCY) -> AttributionOutcome:
    batch = runs(records, "predictions")
    return attribute(batch, {}, routes(metrics=metrics), max_value_bytes=MAX_VALUE_BYTES)


def test_metrics_are_told_with_the_prediction() -> None:
    """One new, served answer tells what its route declares, before any label."""
    told = {"latency_ms": 120.0, "tokens": 7.0}
    outcome = joined(prediction_record("x", 5, metrics=told, unit_id="u"))
    one = Measured(arm="a", at_ms=T0 + 5, values={"latency_ms": 120.0}, unit_id="u")
    assert outcome.measured == [("r", one)]
    assert not outcome.rewards
    assert not outcome.dead_letters


@pytest.mark.parametrize(
    "record",
    [
        prediction_record("y", metrics={"latency_ms": 1.0}, served=False),
        prediction_record("y", metrics={"latency_ms": 1.0}, shown=False),
        prediction_record("y", metrics={"tokens": 1.0}),
        prediction_record("y"),
    ],
    ids=["in shadow", "not shown", "not declared", "none"],
)
def test_what_nobody_was_given_or_declared_is_not_told(record: Record) -> None:
    """Answers in shadow, unused ones and other metrics say nothing of the arm in service."""
    assert not joined(record).measured


def test_a_prediction_tells_its_metrics_once() -> None:
    """A duplicate tells nothing; a route without metrics never does."""
    said = prediction_record("x", metrics={"latency_ms": 120.0})
    assert len(joined(said, said, label_record("x", 1, 9)).measured) == 1
    assert not joined(said, metrics={}).measured


BAD = {
    '{"latency_ms": "fast"}': "$.metrics.latency_ms: expected a finite number, got 'fast'",
    '{"latency_ms": NaN}': "$.metrics.latency_ms: expected a finite number, got NaN",
    '{"latency_ms": 1e999}': "$.metrics.latency_ms: expected a finite number, got inf",
    '{"latency_ms": null}': "$.metrics.latency_ms: expected a finite number, got None",
    '{"latency_ms": true}': "$.metrics.latency_ms: expected a finite number, got True",
    "[1]": "$.metrics: expected an object of numbers, got [1]",
    json.dumps({f"m{at}": 1 for at in range(17)}): "$.metrics: at most 16 values, got 17",
    json.dumps({"n" * 65: 1}): "$.metrics: a name has 1 to 64 characters, got 'nnn",
}


@pytest.mark.parametrize("metrics", BAD)
def test_a_bad_metric_costs_no_prediction(metrics: str) -> None:
    """The fault is precise, and the prediction gets its reward."""
    value = b'{"request_id":"x","route":"r","arm":"a","prediction":1,"metrics":%b}'
    outcome = joined(Record(b"x", value % metrics.encode(), T0), label_record("x", 1, 9))
    (letter,) = outcome.dead_letters
    assert letter.reason == "bad_metric"
    assert letter.detail.startswith(BAD[metrics])
    assert letter.detail.endswith("the rest of the record counts")
    assert [reward.reward for reward in outcome.rewards] == [1.0]


def test_sound_metrics_beside_a_bad_one_count() -> None:
    """One bad value takes no other one with it."""
    value = (
        b'{"request_id":"x","route":"r","arm":"a","prediction":1,"metrics":{"latency_ms":7,"x":[]}}'
    )
    outcome = joined(Record(b"x", value, T0))
    assert [one.values for _, one in outcome.measured] == [{"latency_ms": 7.0}]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"request_id":"x","route":"r","arm":1,"prediction":1,"metrics":{"a":""}}', "invalid"),
        (b'{"request_id":"x","route":"r","prediction":NaN,"metrics":{"a":""}}', "unreadable"),
        (b'{"request_id":"y","route":"r","arm":"a","prediction":1,"metrics":[]}', "key_mismatch"),
        (b'{"request_id":"x","route":"r","arm":"a","prediction":1,"metrics":{', "unreadable"),
    ],
)
def test_other_faults_stay_what_they_are(value: bytes, reason: str) -> None:
    """A record that is wrong elsewhere is set aside once, for that."""
    outcome = joined(Record(b"x", value, T0))
    assert [letter.reason for letter in outcome.dead_letters] == [reason]
    assert not outcome.measured


def test_records_for_learning_stay_small() -> None:
    """However much is measured at once, a record holds far less than Kafka takes."""
    long = {"é" * 60 + str(at): 1.0 for at in range(16)}
    one = Measured(arm="é" * 128, at_ms=T0, values=long, unit_id="é" * 128)
    records = list(records_of([("r", one)] * 300 + [("s", one)]))
    assert sum(len(record.measured) for record in records) == 301
    assert {record.route for record in records} == {"r", "s"}
    assert max(len(encode(record)) for record in records) < 100_000


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["after", "before"])
def test_metrics_of_a_label_are_told_when_it_meets_its_prediction(order: slice) -> None:
    """As the answer's own: its time, unit and propensity; whichever half was read first."""
    halves = [
        prediction_record("x", 5, unit_id="u", propensity=0.25),
        label_record("x", 1, 90, metrics={"latency_ms": 7.0, "tokens": 3.0}),
    ]
    one = Measured(
        arm="a", at_ms=T0 + 5, values={"latency_ms": 7.0}, unit_id="u", propensity=0.25,
        by_label=True,
    )  # fmt: skip
    assert joined(*halves[order]).measured == [("r", one)]


def test_metrics_of_the_first_label_alone_count() -> None:
    """Not those of a duplicate, of a revision, nor of a label after a withdrawal."""
    told = [(1, 5.0), (1, 6.0), (0, 7.0), (None, 8.0), (1, 9.0)]
    labels = [
        label_record("x", label, at, metrics={"latency_ms": value})
        for at, (label, value) in enumerate(told, 10)
    ]
    outcome = joined(prediction_record("x"), *labels)
    assert len(outcome.rewards) == 4
    assert [one.values for _, one in outcome.measured] == [{"latency_ms": 5.0}]


def test_metrics_of_a_label_after_the_default_count() -> None:
    """Silence counted first, and it said nothing of any metric."""
    table = routes(metrics=LATENCY, default_reward=0.0, default_after_s=1.0)
    said = prediction_record("x")
    label = label_record("x", 1, 5_000, metrics={"latency_ms": 5.0})
    outcome = attribute(
        runs([said, label], "predictions"), {}, table, max_value_bytes=MAX_VALUE_BYTES
    )
    assert outcome.rewards[0].cause == "expiry"
    assert len(outcome.measured) == 1


@pytest.mark.parametrize("fields", [{"shown": False}, {"served": False}], ids=str)
def test_metrics_of_a_label_whose_answer_nobody_was_given_do_not_count(fields: Any) -> None:
    """As those of its prediction do not."""
    said = prediction_record("x", **fields)
    assert not joined(said, label_record("x", 1, 9, metrics={"latency_ms": 5.0})).measured


def test_a_label_with_a_bad_metric_counts() -> None:
    """The value alone is set aside, and told."""
    value = b'{"request_id": "x", "label": 1, "metrics": {"latency_ms": NaN}}'
    label = Record(b"x", value, T0 + 9, topic="ground-truth")
    outcome = joined(prediction_record("x"), label)
    assert len(outcome.rewards) == 1
    assert not outcome.measured
    (letter,) = outcome.dead_letters
    assert letter.reason == "bad_metric"
    assert "latency_ms" in letter.detail
