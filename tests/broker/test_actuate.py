"""An actuator on a real broker: a rollback reaches the API server, and only then its answer."""

import asyncio
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asking import control_message
from gateways import publish
from harness import Deployment, read_all
from kube_api import ROUTE_PATH, KubeApi, http_route, weights_of
from patience import PATIENCE_S, eventually, until

from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlAck

pytestmark = pytest.mark.broker

COMMAND = ("-m", "leverframe.agents.cli.main", "actuate")
SECTION = """
[actuate]
port = 0

[kubernetes]
server = "{url}"
token_file = "{token}"

[actuators.split]
route = "checkout"
force = true
check_s = 0.2
arms = {{ a = "model-a", b = "model-b" }}
httproute = {{ namespace = "shop", name = "checkout", rule = "models" }}
"""
NOW = {"a": 0.5, "b": 0.5}


def settings_for(api: KubeApi, folder: Path) -> str:
    token = folder / "token"
    token.write_text(api.token, encoding="utf-8")
    file = folder / "leverframe.toml"
    file.write_text(SECTION.format(url=api.url, token=token), encoding="utf-8")
    return str(file)


async def acknowledged(deployment: Deployment) -> list[ControlAck]:
    settings = deployment.settings
    topic, partitions = settings.topic_names.control_acks, settings.topics.route_partitions
    acks = await read_all(settings.broker.servers, topic, partitions)
    return [decode(ControlAck, record.value) for record in acks]


def test_a_rollback_is_acknowledged_after_it_was_read_back(
    deploy: Callable[..., Any], tmp_path: Path
) -> None:
    """While the gateway has not accepted it nothing is said; SIGTERM ends with what was."""

    async def scenario(api: KubeApi) -> None:
        deployment: Deployment = await deploy()
        kept = api.create(ROUTE_PATH, http_route(model_a=50, model_b=50))
        await publish(deployment, control_message("checkout", NOW, ttl_ms=600_000))
        config = settings_for(api, tmp_path)
        process = deployment.start("actuate", (*COMMAND, "--config", config, "--apply"))
        (first,) = await eventually(lambda: acknowledged(deployment), deployment.logs)
        assert first.replica.startswith("actuate-split-")
        api.is_accepting = False
        told = {"kind": "rollback", "epoch": 2, "seq": 2, "quarantined": ["b"], "ttl_ms": 600_000}
        await publish(deployment, control_message("checkout", {"a": 1.0}, **told))
        until(lambda: weights_of(kept) == {"model-a": 10_000, "model-b": 0}, deployment.logs)
        page = await eventually(lambda: page_of(deployment), deployment.logs)
        assert 'leverframe_actuator_in_force{actuator="split",route="checkout"} 0.0' in page
        assert [ack.epoch for ack in await acknowledged(deployment)] == [1]
        api.is_accepting = True
        api.control(kept)

        async def epochs() -> bool:
            return [ack.epoch for ack in await acknowledged(deployment)] == [1, 2]

        await eventually(epochs, deployment.logs)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0
        assert "Traceback" not in deployment.logs()

    with KubeApi().running() as api:
        asyncio.run(scenario(api))


async def page_of(deployment: Deployment) -> str:
    """The metrics, once they tell of the rollback's share."""
    found = re.search(r"metrics on (\S+:\d+)", deployment.log("actuate"))
    assert found is not None
    async with aiohttp.ClientSession() as session, session.get(f"http://{found[1]}/metrics") as got:
        page = await got.text()
    share = 'leverframe_actuator_share{actuator="split",arm="a",route="checkout"} 1.0'
    return page if share in page else ""


def test_once_says_by_its_exit_code_whether_it_is_done(
    deploy: Callable[..., Any], tmp_path: Path
) -> None:
    """A dry run shows and writes nothing; applied it ends with 0; refused it ends with 1."""

    async def scenario(api: KubeApi) -> None:
        deployment: Deployment = await deploy()
        kept = api.create(ROUTE_PATH, http_route(model_a=100, model_b=0))
        await publish(deployment, control_message("checkout", {"a": 0.9, "b": 0.1}))
        once = (*COMMAND, "--config", settings_for(api, tmp_path), "--once")

        async def run(name: str, *more: str) -> int:
            process = deployment.start(name, (*once, *more))
            return await asyncio.to_thread(process.wait, PATIENCE_S)

        assert await run("dry") == 0, deployment.logs()
        assert "would write to HTTPRoute shop/checkout rule models" in deployment.log("dry")
        assert weights_of(kept) == {"model-a": 100, "model-b": 0}
        assert await run("applied", "--apply") == 0, deployment.logs()
        assert weights_of(kept) == {"model-a": 9_000, "model-b": 1_000}
        assert [ack.seq for ack in await acknowledged(deployment)] == [1]
        api.token = "another"  # noqa: S105 - of this test
        assert await run("refused", "--apply", "--timeout", "1") == 1
        assert "the token is not known" in deployment.log("refused")

    with KubeApi().running() as api:
        asyncio.run(scenario(api))


@pytest.mark.drill
def test_after_a_pause_the_newest_counts(deploy: Callable[..., Any], tmp_path: Path) -> None:
    """What came while it was stopped is not written one by one."""

    async def scenario(api: KubeApi) -> None:
        deployment: Deployment = await deploy()
        kept = api.create(ROUTE_PATH, http_route(model_a=50, model_b=50))
        lasting = {"ttl_ms": 600_000}
        await publish(deployment, control_message("checkout", NOW, **lasting))
        config = settings_for(api, tmp_path)
        process = deployment.start("actuate", (*COMMAND, "--config", config, "--apply"))
        await eventually(lambda: acknowledged(deployment), deployment.logs)
        process.send_signal(signal.SIGSTOP)
        for seq in range(2, 6):
            weights = {"a": seq / 10, "b": 1 - seq / 10}
            await publish(deployment, control_message("checkout", weights, seq=seq, **lasting))
        rollback = {"kind": "rollback", "epoch": 2, "seq": 6, "quarantined": ["b"], **lasting}
        await publish(deployment, control_message("checkout", {"a": 1.0}, **rollback))
        process.send_signal(signal.SIGCONT)
        until(lambda: weights_of(kept)["model-b"] == 0, deployment.logs)
        assert len(api.applied) == 1
        await eventually(lambda: is_last(deployment, 6), deployment.logs)

    with KubeApi().running() as api:
        asyncio.run(scenario(api))


async def is_last(deployment: Deployment, seq: int) -> bool:
    acks = await acknowledged(deployment)
    return max((ack.seq for ack in acks), default=0) == seq


@pytest.mark.drill
def test_a_rollback_arrives_when_the_api_server_is_back(
    deploy: Callable[..., Any], tmp_path: Path
) -> None:
    """Meanwhile it is told, and acknowledged by nobody."""

    async def scenario(api: KubeApi) -> None:
        deployment: Deployment = await deploy()
        kept = api.create(ROUTE_PATH, http_route(model_a=50, model_b=50))
        lasting = {"ttl_ms": 600_000}
        await publish(deployment, control_message("checkout", NOW, **lasting))
        config = settings_for(api, tmp_path)
        with api.running():
            process = deployment.start("away", (*COMMAND, "--config", config, "--apply"))
            await eventually(lambda: acknowledged(deployment), deployment.logs)
        rollback = {"kind": "rollback", "epoch": 2, "seq": 6, "quarantined": ["b"], **lasting}
        await publish(deployment, control_message("checkout", {"a": 1.0}, **rollback))
        until(lambda: "gives no answer" in deployment.log("away"), deployment.logs)
        assert not await is_last(deployment, 6)
        with api.running():
            await eventually(lambda: is_last(deployment, 6), deployment.logs)
            assert weights_of(kept) == {"model-a": 10_000, "model-b": 0}
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)

    with KubeApi().running() as first:
        port = first.port
    asyncio.run(scenario(KubeApi(port=port)))
