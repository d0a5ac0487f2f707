"""What OpenTelemetry calls this process."""

from typing import Final

from opentelemetry.sdk.resources import Resource

import leverframe

__all__ = ["resource_of"]

_NAME: Final = "service.name"


def resource_of(instance: str) -> Resource:
    """Return name, version and instance; what its own variables say comes before ours."""
    own = {"service.version": leverframe.__version__}
    if instance:
        own["service.instance.id"] = instance
    made = Resource(own).merge(Resource.create())
    if str(made.attributes[_NAME]).startswith("unknown_service"):
        return made.merge(Resource({_NAME: "leverframe"}))
    return made
