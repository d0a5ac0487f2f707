"""Spans by OpenTelemetry's SDK: the only module that loads it for traces."""

from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

import leverframe
from leverframe.agents.telemetry.resource import resource_of
from leverframe.agents.telemetry.traces import Attributes

__all__ = ["OpenSpan", "Spans"]


class OpenSpan:
    """A span that has begun.

    ``parent`` is the ``traceparent`` of whatever comes of it.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        own = span.get_span_context()
        flags = own.trace_flags
        self.parent = f"00-{own.trace_id:032x}-{own.span_id:016x}-{flags:02x}".encode()

    def end(self, error: BaseException | None) -> None:
        """End it, as failed where there is an error."""
        if error is not None:
            self._span.set_status(StatusCode.ERROR, str(error))
        self._span.end()


class Spans:
    """Begins spans, and sends them in the background once they end.

    ``provider`` is OpenTelemetry's; without one, spans go where its variables say.
    """

    def __init__(self, instance: str = "", provider: TracerProvider | None = None) -> None:
        if provider is None:
            provider = TracerProvider(resource=resource_of(instance))
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._provider = provider
        self._tracer = provider.get_tracer("leverframe", leverframe.__version__)

    def begin(
        self,
        name: str,
        attributes: Attributes,
        *,
        parent: bytes | None = None,
        links: Iterable[bytes] = (),
    ) -> OpenSpan:
        """Begin a span below ``parent``, or in a trace of its own; all are ``traceparent``s."""
        known: Mapping[str, Any] = attributes
        return OpenSpan(
            self._tracer.start_span(
                name,
                context=set_span_in_context(NonRecordingSpan(_context(parent))),
                kind=SpanKind.CONSUMER,
                attributes=known,
                links=[Link(_context(one)) for one in links],
            )
        )

    def close(self, timeout_s: float) -> None:
        """Send what waits, but not for longer."""
        self._provider.force_flush(round(timeout_s * 1000))


def _context(parent: bytes | None) -> SpanContext:
    if parent is None:
        return INVALID_SPAN_CONTEXT
    _, trace, span, flags = parent.decode().split("-")
    return SpanContext(
        int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
