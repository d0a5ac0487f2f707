"""Prometheus' page of the gateway; names are public: docs/metrics.md."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leverframe.serving.subscriber import Subscriber

__all__ = ["METRICS_TYPE", "GatewayMetrics"]

METRICS_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class GatewayMetrics:
    """Counts requests and records, and looks at subscriber, writer and streams when it is asked.

    Parameters
    ----------
    subscriber : Subscriber
        Of ``control``.
    writer : Writer
        Of predictions and labels.
    notices : Notices
        Of the event streams.
    """

    def __init__(self, subscriber: Subscriber, writer: Any, notices: Any) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "leverframe_gateway_requests",
            "Requests answered",
            ["call", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "leverframe_gateway_seconds",
            "Time to the answer",
            ["call"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._records = Counter(
            "leverframe_gateway_records",
            "Predictions and labels that are durable",
            ["topic"],
            registry=self._registry,
        )
        self._registry.register(_Looked(subscriber, writer, notices))
        # Labels are looked up once: every evaluation pays for it.
        self._by_call: dict[tuple[str, int], tuple[Any, Any]] = {}

    def count_request(self, call: str, status: int, took_s: float) -> None:
        """Count one answer."""
        found = self._by_call.get((call, status))
        if found is None:
            found = self._requests.labels(call, str(status)), self._seconds.labels(call)
            self._by_call[call, status] = found
        found[0].inc()
        found[1].observe(took_s)

    def count_records(self, kind: str, count: int) -> None:
        """Count what became durable."""
        self._records.labels(kind).inc(count)

    def collect(self) -> Iterable[Metric]:
        """Return all families, as they are now."""
        return self._registry.collect()

    def render(self) -> bytes:
        """Return the page."""
        return generate_latest(self._registry)


class _Looked(Collector):
    """What is looked at when the page is asked for."""

    def __init__(self, subscriber: Subscriber, writer: Any, notices: Any) -> None:
        self._subscriber = subscriber
        self._writer = writer
        self._notices = notices

    def collect(self) -> Iterator[Metric]:
        """Yield each, as it is now."""
        subscriber = self._subscriber
        routes = GaugeMetricFamily(
            "leverframe_gateway_routes", "Routes by what holds", labels=["state"]
        )
        states = [subscriber.in_force(name) for name in subscriber.table.routes]
        stale = sum(state is not None and state.is_fallback for state in states)
        routes.add_metric(["in_force"], len(states) - stale)
        routes.add_metric(["stale"], stale)
        yield routes
        control = CounterMetricFamily(
            "leverframe_gateway_control", "What the subscriber met", labels=["what"]
        )
        for what in ("refused", "interrupted", "reread"):
            control.add_metric([what], getattr(subscriber, what))
        yield control
        yield GaugeMetricFamily(
            "leverframe_gateway_waiting_bytes",
            "Bytes that Kafka has not confirmed",
            value=self._writer.waiting_bytes,
        )
        yield GaugeMetricFamily(
            "leverframe_gateway_streams",
            "Clients that follow the event stream",
            value=self._notices.followers,
        )
