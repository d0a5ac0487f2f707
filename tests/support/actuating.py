"""What tests of actuators share: an actuator over a fake API server, and a clock that stands."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kube_api import KubeApi

from leverframe.agents.actuate.actuator import Actuator
from leverframe.agents.actuate.kubernetes import Kubernetes
from leverframe.agents.actuate.objects import http_route, inference_service
from leverframe.agents.actuate.place import Place
from leverframe.agents.actuate.settings import (
    ActuatorSettings,
    HttpRouteSettings,
    InferenceServiceSettings,
    KubernetesSettings,
    WarmUpSettings,
)
from leverframe.schemas.control import ControlMessage
from leverframe.serving.routing import InForce

ARMS = {"v1": "model-v1", "v2": "model-v2"}
AT_ONCE = WarmUpSettings(step=1.0, every_s=0.0)


@dataclass
class Rig:
    """An actuator, what it acknowledged, what it showed, and its time."""

    actuator: Actuator
    place: Place
    clock: list[float]
    acknowledged: list[tuple[int, int]]
    shown: list[str] = field(default_factory=list)

    def hear(self, *, is_fallback: bool = False, **fields: Any) -> None:
        self.actuator.hear(InForce(message(**fields), is_fallback), is_news=True)

    async def turn(self, after_s: float = 0.0) -> float:
        self.clock[0] += after_s
        return await self.actuator.turn()

    async def turns(self, seconds: float) -> None:
        """Let time pass as the loop would."""
        until = self.clock[0] + seconds
        while True:
            wait_s = await self.actuator.turn()
            if self.clock[0] + wait_s > until:
                break
            self.clock[0] += wait_s
        self.clock[0] = until


def message(
    weights: dict[str, float] | None = None,
    seq: int = 1,
    kind: Any = "routing",
    quarantined: list[str] | None = None,
    safe: dict[str, float] | None = None,
) -> ControlMessage:
    return ControlMessage(
        route="checkout",
        epoch=1,
        seq=seq,
        kind=kind,
        weights=weights if weights is not None else {"v1": 0.75, "v2": 0.25},
        champion="v1",
        quarantined=quarantined or [],
        safe_weights=safe or {"v1": 1.0},
        ttl_ms=15_000,
        issued_at_ms=0,
        salt="s",
        cause={"why": "policy"},
        state_digest="0" * 16,
    )


def rig(place: Place, section: ActuatorSettings, *, is_dry: bool = False) -> Rig:
    clock, taken, shown = [1000.0], list[tuple[int, int]](), list[str]()

    def take(told: ControlMessage) -> None:
        taken.append((told.epoch, told.seq))

    put = None if is_dry else take
    actuator = Actuator("checkout", section, place, put, shown.append, lambda: clock[0])
    return Rig(actuator, place, clock, taken, shown)


def client_of(api: KubeApi, folder: Path, token: str | None = None) -> Kubernetes:
    file = folder / "token"
    file.write_text(f"{token or api.token}\n", encoding="utf-8")
    return Kubernetes(KubernetesSettings(server=api.url, token_file=str(file)), {})


def route_rig(
    api: KubeApi,
    folder: Path,
    *,
    warm_up: WarmUpSettings = AT_ONCE,
    force: bool = True,
    is_dry: bool = False,
    arms: dict[str, str] | None = None,
    check_s: float = 5.0,
    **more: Any,
) -> Rig:
    """Return an actuator of the HTTPRoute ``shop/checkout``, rule ``models``."""
    told = {"namespace": "shop", "name": "checkout", "rule": "models", "total": 100, **more}
    route = HttpRouteSettings(**told)
    section = ActuatorSettings(
        arms=arms or ARMS, httproute=route, warm_up=warm_up, force=force, check_s=check_s
    )
    place = http_route(client_of(api, folder), route, section.arms, force=force)
    return rig(place, section, is_dry=is_dry)


def service_rig(api: KubeApi, folder: Path, **more: Any) -> Rig:
    """Return an actuator of the InferenceService ``shop/checkout``."""
    service = InferenceServiceSettings(namespace="shop", name="checkout", **more)
    arms = {"v1": "previous", "v2": "latest"}
    section = ActuatorSettings(arms=arms, inferenceservice=service, warm_up=AT_ONCE)
    place = inference_service(client_of(api, folder), service, arms, force=False)
    return rig(place, section)


def object_rig(
    client: Kubernetes, settings: HttpRouteSettings | InferenceServiceSettings, *, force: bool
) -> Rig:
    """Return an actuator of an object, at once, over a client."""
    if isinstance(settings, HttpRouteSettings):
        section = ActuatorSettings(arms=ARMS, httproute=settings, warm_up=AT_ONCE, force=force)
        return rig(http_route(client, settings, ARMS, force=force), section)
    arms = {"v1": "previous", "v2": "latest"}
    section = ActuatorSettings(arms=arms, inferenceservice=settings, warm_up=AT_ONCE, force=force)
    return rig(inference_service(client, settings, arms, force=force), section)
