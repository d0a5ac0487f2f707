"""What command line, page, explain and Prometheus say of an arm's metrics: each by its name."""

from typing import Any

from control_records import T0, message
from measured import measured, measured_record
from records import command_record, routes
from traffic_loop import Loop

from leverframe.agents.operator.explain import explain, sentences
from leverframe.agents.operator.in_measured import measured_lines
from leverframe.agents.web.history import History
from leverframe.agents.web.summary import detail, summary
from leverframe.agents.worker.metrics import RouteCollector, metrics_page
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.routes.metrics import MetricSettings

METRICS = {
    "latency_ms": MetricSettings(role="guardrail", range=(0, 2000), quantile=0.9),
    "cost": MetricSettings(role="signal", range=(0, 1), at_most=0.5),
    "never": MetricSettings(role="signal", range=(0, 1)),
}


def beat(cost: float) -> Any:
    """A route of two arms, as its heartbeat tells it."""
    loop = Loop(1, routes(metrics=METRICS))
    loop.take([command_record("register_arm", arm) for arm in "ab"])
    for at in range(100):
        both = [measured(arm, at, latency_ms=float(at), cost=cost) for arm in "ab"]
        loop.take([measured_record(both)])
    route = loop.route.get("r")
    assert route is not None
    return heartbeat(loop.state, route, T0 + 100)


def test_each_metric_is_told_by_its_name() -> None:
    """Mean, quantile and requests; a signal that is proved says what waits; none is invented."""
    lines = measured_lines(beat(0.9).cause["arms"])
    assert lines == [
        "a latency_ms: mean 49.5 of 100 requests, quantile 92",
        "a cost: mean 0.9 of 100 requests; worse than tolerable, so its ramp and promotion wait",
        "b latency_ms: mean 49.5 of 100 requests, quantile 92",
        "b cost: mean 0.9 of 100 requests; worse than tolerable, so its ramp and promotion wait",
    ]


def test_page_and_prometheus_tell_them() -> None:
    """The page has a line for each, Prometheus a series."""
    told = beat(0.1)
    history = History()
    history.note(told)
    shown = detail(history.routes["r"], T0)["arms"]
    assert shown["b"]["metrics"] == [
        "latency_ms: mean 49.5 of 100 requests, quantile 92",
        "cost: mean 0.1 of 100 requests",
    ]
    history = History()
    history.note(beat(0.9))
    worse = summary(history.routes["r"], T0)["reasons"]
    assert {"level": "notice", "text": "a has traffic, and is worse by its cost"} in worse
    page = metrics_page(RouteCollector(lambda: [told]))().decode()
    for line in (
        'leverframe_arm_metric_mean{arm="b",metric="latency_ms",route="r"} 49.5',
        'leverframe_arm_metric_quantile{arm="b",metric="latency_ms",route="r"} 92.0',
        'leverframe_arm_metric_requests{arm="b",metric="never",route="r"} 0.0',
        'leverframe_arm_metric_against_nats{arm="b",metric="cost",route="r"} 0.0',
    ):
        assert line in page
    assert 'leverframe_arm_metric_mean{arm="b",metric="never"' not in page


def test_explain_names_the_metric_that_convicted() -> None:
    """Beside the sentence, the arm's own line says on what it was rolled back."""
    loop = Loop(1, routes(metrics={"error": MetricSettings(role="guardrail", range=(0, 1))}))
    loop.take([command_record("register_arm", arm) for arm in "ab"])
    for at in range(100):
        told = [measured("a", at, error=0.0), measured("b", at, error=1.0)]
        loop.take([measured_record(told)])
    changes = explain([message(1, T0, kind="routing"), *loop.messages], None, 1)
    said = list(sentences(changes[0]))
    assert ": b was rolled back by its error: mean 1 of " in said[0]
    assert any(line.startswith("  b fell from ") and "error of " in line for line in said)
    assert any(line.startswith("  a error: mean 0 of ") for line in said)
