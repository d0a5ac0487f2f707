"""Webhooks over real HTTP: the examples, against servers that answer as LiteLLM and others say."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import yaml
from actuating import AT_ONCE, Rig, rig
from doc_blocks import ROOT
from msgspec import structs
from weight_servers import Envoy, Handler, LiteLlm, Nginx, WeightServer

from leverframe.agents.actuate.settings import ActuatorSettings, WarmUpSettings
from leverframe.agents.actuate.webhook import Webhook
from leverframe.agents.settings import load_settings
from leverframe.schemas.errors import SettingsError

EXAMPLES = ROOT / "examples" / "actuate"
SECRET = "sk-of-this-test"  # noqa: S105
ENVIRONMENT = {"LITELLM_MASTER_KEY": SECRET}


def section_of(file: str, place: str, **webhook: Any) -> ActuatorSettings:
    """Return the section of an example, with its server here."""
    (section,) = load_settings(EXAMPLES / file, {}).actuators.values()
    assert section.webhook is not None
    here = {
        key: re.sub(r"//[^/]+/", f"//{place}/", getattr(section.webhook, key))
        for key in ("url", "read_url")
    }
    changed = structs.replace(section.webhook, **{**here, **webhook})
    return structs.replace(section, webhook=changed, warm_up=AT_ONCE)


def run(
    file: str,
    handler: Handler,
    scenario: Callable[[Rig, WeightServer], Awaitable[None]],
    *,
    is_dry: bool = False,
    warm_up: WarmUpSettings = AT_ONCE,
    **webhook: Any,
) -> None:
    async def whole(server: WeightServer) -> None:
        section = structs.replace(section_of(file, server.place, **webhook), warm_up=warm_up)
        assert section.webhook is not None
        place = Webhook("chat", section, section.webhook, ENVIRONMENT)
        try:
            await scenario(rig(place, section, is_dry=is_dry), server)
        finally:
            await place.close()

    with WeightServer(handler).running() as server:
        asyncio.run(whole(server))


def test_litellm_gets_a_request_for_each_deployment() -> None:
    """Who grows comes first; the secret is in the header; what is read back is acknowledged."""
    proxy = LiteLlm()

    async def scenario(made: Rig, server: WeightServer) -> None:
        made.hear(weights={"small": 0.3, "large": 0.7})
        await made.turn()
        assert proxy.weights == {"deployment-small": 30, "deployment-large": 70}
        assert proxy.order == ["deployment-large", "deployment-small"]
        assert made.acknowledged == [(1, 1)]
        assert {told["Authorization"] for told in server.headers} == {f"Bearer {SECRET}"}
        made.hear(weights={"small": 1.0}, kind="rollback", quarantined=["large"], seq=2)
        await made.turn()
        assert proxy.order[2:] == ["deployment-small", "deployment-large"]
        assert made.acknowledged == [(1, 1), (1, 2)]

    run("litellm.toml", proxy, scenario)


def test_envoy_gets_its_runtime_keys() -> None:
    """Weights go in the query, and come back as texts."""
    proxy = Envoy()

    async def scenario(made: Rig, server: WeightServer) -> None:
        del server
        made.hear(weights={"v1": 0.25, "v2": 0.75})
        await made.turn()
        assert [*proxy.values.values()] == ["25", "75"]
        assert made.acknowledged == [(1, 1)]

    run("envoy.toml", proxy, scenario)


def test_nginx_takes_a_server_down_instead_of_a_weight_of_0() -> None:
    """Its API knows no weight of 0; what it reads as down counts as 0."""
    proxy = Nginx()

    async def scenario(made: Rig, server: WeightServer) -> None:
        del server
        made.hear(weights={"v1": 0.4, "v2": 0.6})
        await made.turn()
        assert proxy.servers["1"] == {"weight": 60, "down": False}
        made.hear(weights={"v1": 1.0, "v2": 0.0}, seq=2)
        await made.turn()
        assert proxy.servers == {
            "0": {"weight": 100, "down": False},
            "1": {"weight": 1, "down": True},
        }
        assert made.acknowledged == [(1, 1), (1, 2)]

    run("nginx.toml", proxy, scenario)


def test_nothing_is_acknowledged_that_is_not_read_back() -> None:
    """Without read_url it is written once, begins at the safe weights, and is said to nobody."""
    proxy = LiteLlm()

    async def scenario(made: Rig, server: WeightServer) -> None:
        made.hear(weights={"small": 0.3, "large": 0.7}, safe={"small": 1.0})
        await made.turn()
        assert proxy.weights == {"deployment-small": 75, "deployment-large": 25}
        for _ in range(3):
            await made.turn(10.0)
        assert proxy.weights == {"deployment-small": 30, "deployment-large": 70}
        assert made.actuator.status.is_in_force
        assert made.acknowledged == []
        known = len(server.headers)
        await made.turn(10.0)
        assert len(server.headers) == known

    slowly = WarmUpSettings()
    run("litellm.toml", proxy, scenario, warm_up=slowly, read_url="", read={})


def test_another_answer_than_was_written_is_told_and_not_acknowledged() -> None:
    """A proxy that keeps what it had, or says something that is no weight."""
    proxy = LiteLlm()

    def stubborn(method: str, target: str, body: bytes) -> tuple[int, Any]:
        return (200, {}) if method == "POST" else proxy(method, target, body)

    async def scenario(made: Rig, server: WeightServer) -> None:
        del server
        made.hear(weights={"small": 0.3, "large": 0.7})
        await made.turn()
        status = made.actuator.status
        assert status.kind == "drifted"
        assert "small 30 % was written" in status.trouble.replace("large 70 %, ", "")
        proxy.weights["deployment-small"] = "many"
        await made.turn(1.0)
        assert status.kind == "unfit"
        assert "gives 'many', which is no weight" in status.trouble
        assert made.acknowledged == []

    run("litellm.toml", stubborn, scenario)


def test_what_is_tolerated_leaves_no_broken_arm_a_little() -> None:
    """A place that rounds is believed; one that keeps one unit on a broken arm is not."""
    proxy = LiteLlm()
    proxy.weights = {"deployment-small": 100, "deployment-large": 0}

    def rounding(method: str, target: str, body: bytes) -> tuple[int, Any]:
        answer = proxy(method, target, body)
        small, large = proxy.weights.values()
        if method == "POST" and large:
            proxy.weights = {"deployment-small": small - 1, "deployment-large": large + 1}
        return answer

    async def scenario(made: Rig, server: WeightServer) -> None:
        del server
        made.hear(weights={"small": 0.3, "large": 0.7})
        await made.turn()
        assert made.acknowledged == [(1, 1)]
        proxy.weights = {"deployment-small": 99, "deployment-large": 1}
        made.hear(weights={"small": 1.0}, kind="rollback", quarantined=["large"], seq=2)
        await made.turn()
        assert proxy.weights["deployment-large"] == 0
        assert made.acknowledged == [(1, 1), (1, 2)]

    run("litellm.toml", rounding, scenario, tolerance=2)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ((429, {"Retry-After": "3"}), "busy"),
        ((503, {}), "busy"),
        ((401, {}), "refused"),
        ((400, {}), "unfit"),
        ((302, {}), "unfit"),
    ],
)
def test_refusals_are_told_without_secrets(failure: tuple[int, dict[str, str]], kind: str) -> None:
    """Each has its kind, is tried again, and names the address without query or header."""

    async def scenario(made: Rig, server: WeightServer) -> None:
        server.failures = [failure]
        made.hear(weights={"small": 0.3, "large": 0.7})
        await made.turn()
        status = made.actuator.status
        assert status.kind == kind
        assert f"http://{server.place}/model/info" in status.trouble
        assert SECRET not in status.trouble
        assert "litellm_model_id" not in status.trouble
        await made.turn(3.0)
        assert made.acknowledged == [(1, 1)]

    run("litellm.toml", LiteLlm(), scenario)


def test_a_dry_run_shows_requests_without_their_secrets() -> None:
    """Method, address and body of each; nothing is sent but what reads."""
    proxy = LiteLlm()

    async def scenario(made: Rig, server: WeightServer) -> None:
        del server
        made.hear(weights={"small": 0.3, "large": 0.7})
        await made.turn()
        (shown,) = made.shown
        assert '"id":"deployment-large"},"litellm_params":{"weight":70}' in shown
        assert SECRET not in shown
        assert proxy.order == []

    run("litellm.toml", proxy, scenario, is_dry=True)


def test_a_secret_that_is_missing_or_odd_is_named() -> None:
    """Before anything is sent, by its variable."""
    section = section_of("litellm.toml", "127.0.0.1:1")
    assert section.webhook is not None
    for environment, words in (
        ({}, "LITELLM_MASTER_KEY is not set"),
        ({"LITELLM_MASTER_KEY": "sk\n"}, "LITELLM_MASTER_KEY holds a line break"),
    ):
        with pytest.raises(SettingsError, match=f"chat.webhook.headers: {words}") as told:
            Webhook("chat", section, section.webhook, environment)
        assert "sk" not in str(told.value)


def test_rights_of_the_example_are_those_that_its_settings_need() -> None:
    """The Role names the objects of examples/actuate/kubernetes.toml, to be read and patched."""
    actuators = load_settings(EXAMPLES / "kubernetes.toml", {}).actuators.values()
    routes = [one.httproute.name for one in actuators if one.httproute]
    services = [one.inferenceservice.name for one in actuators if one.inferenceservice]
    text = (EXAMPLES / "rbac.yaml").read_text(encoding="utf-8")
    (role,) = (one for one in yaml.safe_load_all(text) if one["kind"] == "Role")
    assert {rule["resources"][0]: rule["resourceNames"] for rule in role["rules"]} == {
        "httproutes": routes,
        "inferenceservices": services,
    }
    assert {*map(tuple, (rule["verbs"] for rule in role["rules"]))} == {("get", "patch")}
