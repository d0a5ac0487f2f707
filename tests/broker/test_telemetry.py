"""Traces and metrics arrive at a collector of OpenTelemetry, from worker and gateway."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from gateways import Gateway, post
from harness import Deployment, read_all, wait_for_rewards
from otlp_collector import OtlpCollector
from patience import PATIENCE_S, until
from records import label_record, prediction_record

pytestmark = pytest.mark.broker

ON = {"LEVERFRAME_TELEMETRY__TRACES": "true", "LEVERFRAME_TELEMETRY__METRICS": "true"}
REQUESTS = 20


def parent(trace: int, span: int) -> list[tuple[str, bytes]]:
    return [("traceparent", f"00-{trace:032x}-{span:016x}-01".encode())]


async def send(deployment: Deployment, count: int) -> None:
    """Pairs whose halves have traces of their own: of odd requests the label alone, of q0 none."""
    topics = deployment.settings.topic_names
    producer = AIOKafkaProducer(bootstrap_servers=deployment.settings.broker.servers)
    await producer.start()
    try:
        for at in range(count):
            shown = prediction_record(f"q{at}", arm="ab"[at % 2])
            label = label_record(f"q{at}", 1)
            of_prediction = parent(at, 1) if at and at % 2 == 0 else None
            of_label = parent(1_000 + at, 2) if at else None
            await producer.send_and_wait(
                topics.predictions, shown.value, key=shown.key, headers=of_prediction
            )
            await producer.send_and_wait(
                topics.ground_truth, label.value, key=label.key, headers=of_label
            )
    finally:
        await producer.stop()


def trace_of(span: Any) -> int:
    return int.from_bytes(span.trace_id, "big")


def said(span: Any) -> bytes:
    """Its ``traceparent`` but for the flags, of which there are more than one."""
    return f"00-{span.trace_id.hex()}-{span.span_id.hex()}-".encode()


def marks(records: list[Any]) -> set[bytes]:
    found = [dict(record.headers).get("traceparent") for record in records]
    return {parent[:-2] for parent in found if parent is not None}


def test_a_trace_goes_from_the_request_over_its_reward_to_the_decision(
    deploy: Callable[..., Any],
) -> None:
    collector = OtlpCollector()
    with collector.running() as found_by:
        deployment = asyncio.run(deploy(**ON))
        worker = deployment.start(**found_by)
        asyncio.run(send(deployment, REQUESTS))
        rewards = asyncio.run(wait_for_rewards(deployment, REQUESTS))
        assert len(rewards) == REQUESTS
        until(
            lambda: len(collector.named("reward")) == REQUESTS - 1 and collector.named("routing"),
            lambda: f"all spans have come: {[s.name for s in collector.spans]}",
        )
        settings, topics = deployment.settings, deployment.settings.topic_names
        where = settings.broker.servers, settings.topics.route_partitions
        raw = asyncio.run(read_all(where[0], topics.rewards, where[1]))
        control = asyncio.run(read_all(where[0], topics.control, where[1]))
        until(lambda: "leverframe_arm_labels" in collector.metrics, "metrics have come")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=PATIENCE_S) == 0, deployment.logs()

    spans = collector.named("reward")
    by_trace = {trace_of(span): span for span in spans}
    even = range(2, REQUESTS, 2)
    assert set(by_trace) == set(even) | {1_000 + at for at in range(1, REQUESTS, 2)}
    assert {at: trace_of(by_trace[at].links[0]) for at in even} == {at: 1_000 + at for at in even}
    assert not any(len(by_trace[1_000 + at].links) for at in range(1, REQUESTS, 2))

    assert len(raw) == REQUESTS
    assert marks(raw) == {said(span) for span in spans}

    decisions = [span for span in collector.spans if span.name != "reward"]
    linked = {trace_of(link) for span in decisions for link in span.links}
    assert linked <= set(by_trace)
    assert marks(control) == {said(span) for span in decisions}
    assert all(one["service.name"] == "leverframe" for one in collector.resources)


def test_metrics_of_a_gateway_arrive(deploy: Callable[..., Any]) -> None:
    collector = OtlpCollector()

    async def scenario(found_by: dict[str, str]) -> None:
        deployment = await deploy(**ON)
        gateway = Gateway(deployment, **found_by).wait()
        async with aiohttp.ClientSession(gateway.url) as session:
            assert (await post(session, "/v1/labels", {"request_id": "a", "label": 1}))[0] == 202
            await asyncio.to_thread(
                until,
                lambda: "leverframe_gateway_seconds" in collector.metrics,
                lambda: f"metrics have come: {list(collector.metrics)}",
            )

    with collector.running() as found_by:
        asyncio.run(scenario(found_by))
    told = collector.metrics["leverframe_gateway_records"].sum.data_points
    assert [(point.attributes[0].value.string_value, point.as_double) for point in told] == [
        ("ground-truth", 1)
    ]
    [took] = collector.metrics["leverframe_gateway_seconds"].histogram.data_points
    assert took.count == sum(took.bucket_counts) == 1


def test_a_collector_that_is_away_stops_nothing_and_is_told(deploy: Callable[..., Any]) -> None:
    deployment = asyncio.run(deploy(**ON))
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    away |= {"OTEL_METRIC_EXPORT_INTERVAL": "300", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    worker = deployment.start(**away)
    asyncio.run(send(deployment, REQUESTS))
    assert len(asyncio.run(wait_for_rewards(deployment, REQUESTS))) == REQUESTS
    until(lambda: "metrics were not taken" in deployment.log(), "the log says it of metrics")
    until(lambda: "span" in deployment.log().lower(), "the log says it of spans")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=PATIENCE_S) == 0, deployment.logs()


def test_without_the_packages_the_worker_says_what_to_install(
    deploy: Callable[..., Any], tmp_path: Path
) -> None:
    """A module that stands before the real one, as where the extra was not installed."""
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").touch()
    deployment = asyncio.run(deploy(**ON))
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    worker = deployment.start(PYTHONPATH=path)
    assert worker.wait(timeout=PATIENCE_S) == 2
    assert "pip install 'leverframe[otel]'" in deployment.log()
