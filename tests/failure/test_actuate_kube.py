"""Actuators on a real API server: Kubernetes' own code, Gateway API's and KServe's definitions.

Where the fake of the other tests answers otherwise, this says so.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from actuating import Rig, object_rig
from kube_api import ROUTE_PATH, SERVICE_PATH, http_route, inference_service
from msgspec import structs
from real_kube import RealKube, running

from leverframe.agents.actuate.kubernetes import Kubernetes
from leverframe.agents.actuate.settings import (
    HttpRouteSettings,
    InferenceServiceSettings,
    KubernetesSettings,
)

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(shutil.which("go") is None, reason="the API server is built by Go"),
]

ROUTE = HttpRouteSettings(namespace="shop", name="checkout", rule="models", total=100)
SERVICE = InferenceServiceSettings(namespace="shop", name="checkout")
RULES = ("f:spec", "f:rules")


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[RealKube]:
    """Give a real server with an HTTPRoute and an InferenceService that kubectl made."""
    with running(tmp_path) as server:
        server.create(ROUTE_PATH, http_route(model_v1=1, model_v2=0), "kubectl")
        server.create(SERVICE_PATH, inference_service(percent=0), "kubectl")
        yield server


def rig_of(
    kube: RealKube,
    folder: Path,
    *,
    force: bool,
    token: str = "",
    settings: HttpRouteSettings | InferenceServiceSettings = ROUTE,
) -> Rig:
    file = folder / "token"
    file.write_text(token or kube.token, encoding="utf-8")
    how = KubernetesSettings(server=kube.url, token_file=str(file), ca_file=kube.ca_file)
    return object_rig(Kubernetes(how, {}), settings, force=force)


def run(made: Rig, scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def whole() -> None:
        try:
            await scenario(made)
        finally:
            await made.place.close()

    asyncio.run(whole())


def accept(kube: RealKube) -> None:
    generation = kube.read(ROUTE_PATH)["metadata"]["generation"]
    accepted = {
        "type": "Accepted",
        "status": "True",
        "observedGeneration": generation,
        "reason": "Accepted",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    parent = {
        "parentRef": {"name": "gateway"},
        "controllerName": "example.org/gateway",
        "conditions": [accepted],
    }
    kube.set_status(ROUTE_PATH, {"parents": [parent]})


def weights(kube: RealKube) -> list[int]:
    backends = kube.read(ROUTE_PATH)["spec"]["rules"][1]["backendRefs"]
    return [one["weight"] for one in backends]


def test_an_http_route_is_taken_over_written_and_acknowledged(
    kube: RealKube, tmp_path: Path
) -> None:
    """Who made it owns the rules as a whole; with force they are ours; a gateway's word counts."""

    async def refused(made: Rig) -> None:
        made.hear()
        await made.turn()
        status = made.actuator.status
        assert status.kind == "conflict"
        assert ".spec.rules" in status.trouble
        assert '"kubectl"' in status.trouble
        assert weights(kube) == [1, 0]

    async def written(made: Rig) -> None:
        made.hear()
        await made.turn()
        assert weights(kube) == [75, 25]
        owners = kube.owners(ROUTE_PATH)
        assert owners["leverframe", "Apply"] == {"f:spec": {"f:rules": {}}}
        assert "f:rules" not in owners["kubectl", "Update"]["f:spec"]
        assert "status.parents is empty" in made.actuator.status.trouble
        accept(kube)
        await made.turn(0.5)
        assert made.acknowledged == [(1, 1)]
        made.hear(weights={"v1": 1.0}, kind="rollback", quarantined=["v2"], seq=2)
        await made.turn()
        assert weights(kube) == [100, 0]
        assert made.acknowledged == [(1, 1)]
        accept(kube)
        await made.turn(0.5)
        assert made.acknowledged == [(1, 1), (1, 2)]
        version = kube.read(ROUTE_PATH)["metadata"]["resourceVersion"]
        await made.turns(20.0)
        assert kube.read(ROUTE_PATH)["metadata"]["resourceVersion"] == version

    run(rig_of(kube, tmp_path, force=False), refused)
    run(rig_of(kube, tmp_path, force=True), written)


def test_another_writer_is_noticed_and_not_overwritten_unseen(
    kube: RealKube, tmp_path: Path
) -> None:
    """A change between reading and writing is 409 and kept; a later one is a drift, by name."""

    async def scenario(made: Rig) -> None:
        place: Any = made.place
        client, reading = place._client, place._client.read

        async def changed_behind(path: str) -> dict[str, Any]:
            found: dict[str, Any] = await reading(path)
            client.read = reading
            rules = http_route(model_v1=1, model_v2=0)["spec"]["rules"]
            rules[0]["timeouts"] = {"request": "5s"}
            kube.update(ROUTE_PATH, {**found, "spec": {**found["spec"], "rules": rules}}, "helm")
            return found

        client.read = changed_behind
        made.hear()
        assert await made.turn() < 1.0
        assert made.actuator.status.counts["moved"] == 1
        await made.turn(0.2)
        rules = kube.read(ROUTE_PATH)["spec"]["rules"]
        assert rules[0]["timeouts"] == {"request": "5s"}
        assert weights(kube) == [75, 25]
        found = kube.read(ROUTE_PATH)
        found["spec"]["rules"][1]["backendRefs"][0]["weight"] = 5
        kube.update(ROUTE_PATH, found, "argocd")
        seen = await made.place.read()
        assert seen.others == ("argocd",)
        await made.turn(5.0)
        assert made.actuator.status.counts["drifted"] == 1
        assert weights(kube) == [75, 25]

    run(rig_of(kube, tmp_path, force=True), scenario)


def test_an_inference_service_gets_one_field(kube: RealKube, tmp_path: Path) -> None:
    """The rest stays its maker's."""

    async def scenario(made: Rig) -> None:
        made.hear(weights={"v1": 0.8, "v2": 0.2})
        await made.turn()
        assert kube.read(SERVICE_PATH)["spec"]["predictor"]["canaryTrafficPercent"] == 20
        owners = kube.owners(SERVICE_PATH)
        ours: Any = {"f:spec": {"f:predictor": {"f:canaryTrafficPercent": {}}}}
        assert owners["leverframe", "Apply"] == ours
        assert "f:model" in owners["kubectl", "Update"]["f:spec"]["f:predictor"]
        traffic = [
            {"latestRevision": True, "percent": 20, "revisionName": "m-2"},
            {"latestRevision": False, "percent": 80, "revisionName": "m-1"},
        ]
        kube.set_status(SERVICE_PATH, {"components": {"predictor": {"traffic": traffic}}})
        await made.turn(0.5)
        assert made.acknowledged == [(1, 1)]

    run(rig_of(kube, tmp_path, force=True, settings=SERVICE), scenario)


def test_what_it_refuses_is_told(kube: RealKube, tmp_path: Path) -> None:
    """Another name, and another token."""

    def told_as(kind: str) -> Callable[[Rig], Awaitable[None]]:
        async def scenario(made: Rig) -> None:
            made.hear()
            await made.turn()
            assert made.actuator.status.kind == kind

        return scenario

    gone = structs.replace(ROUTE, name="gone")
    run(rig_of(kube, tmp_path, force=True, settings=gone), told_as("missing"))
    run(rig_of(kube, tmp_path, force=True, token="another"), told_as("refused"))  # noqa: S106
