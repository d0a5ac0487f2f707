"""What is on Prometheus' page, pushed by OTLP: same names, same labels."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import Metric as Family
from prometheus_client.core import Sample

import leverframe
from leverframe.agents.telemetry.resource import resource_of
from leverframe.streams.runtime.logger import make_logger

__all__ = ["MetricsPush", "metrics_data"]

log = make_logger(__name__)

_EVERY: Final = "OTEL_METRIC_EXPORT_INTERVAL"
_EVERY_MS: Final = 60_000
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE


class MetricsPush:
    """Sends all families every minute, or as ``OTEL_METRIC_EXPORT_INTERVAL`` says.

    ``collect`` gives them, as a collector of Prometheus' does.
    """

    def __init__(self, collect: Callable[[], Iterable[Family]], instance: str = "") -> None:
        self._collect = collect
        self._exporter = OTLPMetricExporter()
        self._resource = resource_of(instance)
        self._started_ns = time.time_ns()
        self._every_s = float(os.environ.get(_EVERY) or _EVERY_MS) / 1000

    async def follow(self) -> None:
        """Go on until cancelled; whoever receives them may be away meanwhile."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.push()

    async def push(self) -> None:
        """Send them once."""
        try:
            data = metrics_data(self._collect(), self._resource, self._started_ns, time.time_ns())
            result = await asyncio.to_thread(self._exporter.export, data)
            error = None if result is MetricExportResult.SUCCESS else result.name
        except Exception as raised:  # noqa: BLE001 - the job goes on without its metrics there
            error = repr(raised)
        if error is not None:
            log.warning(
                "telemetry_failed",
                message=f"metrics were not taken by the collector of OpenTelemetry ({error}): see "
                "OTEL_EXPORTER_OTLP_ENDPOINT; the next are sent in "
                f"{self._every_s:g} s",
            )


def metrics_data(
    families: Iterable[Family], resource: Resource, started_ns: int, now_ns: int
) -> MetricsData:
    """Return families of Prometheus as OpenTelemetry has them; empty ones are left out."""
    times = (started_ns, now_ns)
    made = [one for family in families if (one := _metric(family, times)) is not None]
    scope = InstrumentationScope("leverframe", leverframe.__version__)
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, made, "")], "")])


def _metric(family: Family, times: tuple[int, int]) -> Metric | None:
    samples = [one for one in family.samples if not one.name.endswith("_created")]
    if not samples:
        return None
    points: Any
    if family.type == "histogram":
        points = Histogram(list(_histograms(samples, times)), _CUMULATIVE)
    elif family.type == "counter":
        points = Sum(_numbers(samples, times), _CUMULATIVE, is_monotonic=True)
    else:
        points = Gauge(_numbers(samples, times))
    return Metric(family.name, family.documentation, family.unit, points)


def _numbers(samples: Iterable[Sample], times: tuple[int, int]) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(one.labels), *times, float(one.value)) for one in samples]


def _histograms(samples: Iterable[Sample], times: tuple[int, int]) -> Iterator[HistogramDataPoint]:
    """One point for each set of labels; Prometheus counts buckets up, OpenTelemetry each."""
    by_labels: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for one in samples:
        labels = {name: value for name, value in one.labels.items() if name != "le"}
        by_labels.setdefault(tuple(sorted(labels.items())), []).append(one)
    for key, own in by_labels.items():
        buckets = [one for one in own if one.name.endswith("_bucket")]
        bounds = [float(one.labels["le"]) for one in buckets]
        yield HistogramDataPoint(
            attributes=dict(key),
            start_time_unix_nano=times[0],
            time_unix_nano=times[1],
            count=round(_value(own, "_count")),
            sum=_value(own, "_sum"),
            bucket_counts=[round(high - low) for low, high in pairwise([0.0, *_values(buckets)])],
            explicit_bounds=bounds[:-1],
            min=None,  # type: ignore[arg-type]  # not known, and optional on the wire
            max=None,  # type: ignore[arg-type]
        )


def _value(samples: Sequence[Sample], suffix: str) -> float:
    return next((one.value for one in samples if one.name.endswith(suffix)), 0.0)


def _values(samples: Iterable[Sample]) -> list[float]:
    return [one.value for one in samples]
