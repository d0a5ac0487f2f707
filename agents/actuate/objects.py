"""Places in Kubernetes: what the pure modules make of objects, over the client."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from leverframe.agents.actuate.httproute import route_patch, route_path, seen_route
from leverframe.agents.actuate.inference import PERCENT, seen_service, service_patch, service_path
from leverframe.agents.actuate.kubernetes import Kubernetes
from leverframe.agents.actuate.place import Context, Seen
from leverframe.agents.actuate.settings import HttpRouteSettings, InferenceServiceSettings

__all__ = ["KubernetesObject", "http_route", "inference_service"]


class KubernetesObject:
    """An object of which one field is ours.

    Parameters
    ----------
    client : Kubernetes
        Shared by all.
    name, path : str
        For people, and at the API server.
    total : int
        What shares sum to.
    force : bool
        Take the field over from another field manager.
    """

    is_readable = True
    tolerance = 0
    seen: Callable[[Mapping[str, Any]], Seen]
    patch: Callable[[Seen, Mapping[str, int]], dict[str, Any]]

    def __init__(
        self, client: Kubernetes, name: str, path: str, total: int, *, force: bool
    ) -> None:
        self._client = client
        self._path = path
        self._force = force
        self.name = name
        self.total = total

    async def read(self) -> Seen:
        """Read what holds. Raises ``Trouble``."""
        return self.seen(await self._client.read(self._path))

    async def write(self, shares: Mapping[str, int], seen: Seen, context: Context) -> None:
        """Apply. Raises ``Trouble``."""
        del context
        await self._client.apply(self._path, self.patch(seen, shares), force=self._force)

    def preview(self, shares: Mapping[str, int], seen: Seen, context: Context) -> list[str]:
        """Return the request."""
        del context
        body = msgspec.json.encode(self.patch(seen, shares)).decode()
        return [f"PATCH {self._path} (server-side apply)", body]

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()


def http_route(
    client: Kubernetes, settings: HttpRouteSettings, arms: Mapping[str, str], *, force: bool
) -> KubernetesObject:
    """Return the place that is a rule of an HTTPRoute."""
    name = f"HTTPRoute {settings.place} rule {settings.rule or settings.rule_index}"
    made = KubernetesObject(client, name, route_path(settings), settings.total, force=force)
    made.seen = partial(seen_route, settings=settings, arms=arms)
    made.patch = lambda seen, shares: route_patch(seen, settings, arms, shares)
    return made


def inference_service(
    client: Kubernetes, settings: InferenceServiceSettings, arms: Mapping[str, str], *, force: bool
) -> KubernetesObject:
    """Return the place that is the predictor of an InferenceService."""
    name = f"InferenceService {settings.place}"
    made = KubernetesObject(client, name, service_path(settings), PERCENT, force=force)
    made.seen = partial(seen_service, settings=settings, arms=arms)
    made.patch = lambda seen, shares: service_patch(seen, settings, arms, shares)
    return made
