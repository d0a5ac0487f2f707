"""What OpenTelemetry calls this process."""

from opentelemetry.sdk.resources import OTELResourceDetector, Resource

import leverframe

__all__ = ["resource_of"]


def resource_of(instance: str) -> Resource:
    """Return name, version and instance; what OpenTelemetry's variables say comes before ours."""
    own = {"service.name": "leverframe", "service.version": leverframe.__version__}
    if instance:
        own["service.instance.id"] = instance
    return Resource.create(own).merge(OTELResourceDetector().detect())
