"""Receives traces and metrics by OTLP over HTTP, as its protocol buffers describe them.

A stand-in for OpenTelemetry's own collector, which comes from no package registry; bodies are
decoded by OpenTelemetry's generated classes.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from served import served

__all__ = ["OtlpCollector"]


class OtlpCollector:
    """Keeps what it was sent: spans by name, the newest metrics by name, and who sent them."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}
        self.resources: list[dict[str, str]] = []

    def named(self, name: str) -> list[Any]:
        """Return the spans of a name, in the order in which they came."""
        return [span for span in self.spans if span.name == name]

    @contextmanager
    def running(self) -> Iterator[dict[str, str]]:
        """Receive; give the variables by which it is found, and that make a sender quick."""
        app = web.Application()
        app.router.add_post("/v1/traces", self._traces)
        app.router.add_post("/v1/metrics", self._metrics)
        with served(app) as port:
            yield {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                "OTEL_BSP_SCHEDULE_DELAY": "100",
                "OTEL_METRIC_EXPORT_INTERVAL": "300",
            }

    async def _traces(self, request: web.Request) -> web.Response:
        told = ExportTraceServiceRequest.FromString(await _body(request))
        for of in told.resource_spans:
            self._note(of.resource)
            self.spans += [span for scope in of.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    async def _metrics(self, request: web.Request) -> web.Response:
        told = ExportMetricsServiceRequest.FromString(await _body(request))
        for of in told.resource_metrics:
            self._note(of.resource)
            self.metrics |= {m.name: m for scope in of.scope_metrics for m in scope.metrics}
        return web.Response(content_type="application/x-protobuf")

    def _note(self, resource: Any) -> None:
        self.resources.append({one.key: one.value.string_value for one in resource.attributes})


async def _body(request: web.Request) -> bytes:
    raw = await request.read()
    return gzip.decompress(raw) if request.headers.get("Content-Encoding") == "gzip" else raw
