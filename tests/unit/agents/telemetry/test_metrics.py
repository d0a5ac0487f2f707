"""Families of Prometheus as OpenTelemetry has them, encoded by its own exporter."""

from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from leverframe.agents.telemetry.metrics import metrics_data


def encoded(registry: CollectorRegistry) -> dict[str, Any]:
    data = metrics_data(registry.collect(), Resource({"service.name": "leverframe"}), 5, 9)
    [by_resource] = encode_metrics(data).resource_metrics
    [by_scope] = by_resource.scope_metrics
    return {metric.name: metric for metric in by_scope.metrics}


def test_counters_gauges_and_histograms_keep_names_labels_and_values() -> None:
    registry = CollectorRegistry()
    Counter("got", "Got.", ["what"], registry=registry).labels("this").inc(3)
    Gauge("weight", "Weight.", registry=registry).set(0.25)
    took = Histogram("took", "Took.", buckets=(0.1, 1), registry=registry)
    for value in (0.05, 0.5, 0.6, 7):
        took.observe(value)
    told = encoded(registry)
    assert set(told) == {"got", "weight", "took"}

    [point] = told["got"].sum.data_points
    assert told["got"].sum.is_monotonic
    assert (point.as_double, point.start_time_unix_nano, point.time_unix_nano) == (3, 5, 9)
    assert [(one.key, one.value.string_value) for one in point.attributes] == [("what", "this")]

    [point] = told["weight"].gauge.data_points
    assert point.as_double == 0.25

    [point] = told["took"].histogram.data_points
    assert list(point.explicit_bounds) == [0.1, 1.0]
    assert list(point.bucket_counts) == [1, 2, 1]
    assert (point.count, point.sum) == (4, 8.15)
    assert not point.HasField("min")


def test_families_without_a_sample_are_left_out() -> None:
    registry = CollectorRegistry()
    Counter("never", "Never.", ["what"], registry=registry)
    assert encoded(registry) == {}
