"""Settings of OpenTelemetry."""

from msgspec import Struct

from leverframe.schemas.errors import SettingsError

__all__ = ["TelemetrySettings", "require_packages"]


class TelemetrySettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is sent to an OpenTelemetry collector (docs/telemetry.md).

    Where it is and how to reach it is said as everywhere: ``OTEL_EXPORTER_OTLP_ENDPOINT`` and the
    other variables of OpenTelemetry.

    Attributes
    ----------
    traces : bool
        Spans of rewards and of control messages, for requests whose records bear a sampled
        ``traceparent``.
    metrics : bool
        What is on Prometheus' page.
    """

    traces: bool = False
    metrics: bool = False


def require_packages(settings: TelemetrySettings) -> None:
    """Raise ``SettingsError`` where something is asked for that is not installed."""
    if not (settings.traces or settings.metrics):
        return
    try:
        import opentelemetry.exporter.otlp.proto.http  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "[telemetry] needs packages of OpenTelemetry that are not here: "
            "pip install 'leverframe[otel]'"
        ) from error
