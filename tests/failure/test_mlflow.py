"""``leverframe mlflow`` between a real MLflow server, a real broker and a worker."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from estate import run, steer
from harness import Deployment, read_all
from mlflow_server import MlflowServer, mlflow_server
from patience import until

from leverframe.agents.operator.control import newest_messages
from leverframe.schemas.codec import decode
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlMessage

# The server comes from a package with 90 others, installed at the first run.
pytestmark = [pytest.mark.broker, pytest.mark.drill]

FOLLOWING = ("-m", "leverframe.agents.cli.main", "mlflow", "--apply")
SETTINGS = """
[routes.checkout]
[routes.ranking]

[mlflow]
url = "{url}"
poll_s = 0.3

[mlflow.routes.checkout]
model = "fraud"

[mlflow.routes.ranking]
model = "ranker"
arm = "r{version}"
start = "shadow"
tags = { validation = "passed" }
"""
ELSEWHERE = """
[mlflow.routes.nowhere]
model = "lost"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    with mlflow_server(folder) as running:
        yield running


def configured(deploy: Callable[..., Any], folder: Path, server: MlflowServer) -> Deployment:
    file = folder / "leverframe.toml"
    file.write_text(SETTINGS.replace("{url}", server.url))
    deployment: Deployment = asyncio.run(deploy(LEVERFRAME_CONFIG=str(file)))
    deployment.start()
    return deployment


def in_force(deployment: Deployment, route: str) -> ControlMessage | None:
    return asyncio.run(newest_messages(deployment.settings)).get(route)


def has_arms(deployment: Deployment, route: str, *arms: str) -> bool:
    message = in_force(deployment, route)
    return message is not None and set(message.weights) == set(arms)


def registrations(deployment: Deployment, arm: str) -> list[Command]:
    """Every command that would register an arm, whatever became of it."""
    settings = deployment.settings
    topic, partitions = settings.topic_names.commands, settings.topics.route_partitions
    records = asyncio.run(read_all(settings.broker.servers, topic, partitions))
    commands = (decode(Command, record.value) for record in records)
    return [one for one in commands if one.action == "register_arm" and one.arm == arm]


def plan_of(deployment: Deployment, *words: str) -> tuple[int, Any]:
    done: CompletedProcess[str] = run(deployment, "mlflow", "--json", *words)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def alias_comes_to(deployment: Deployment, server: MlflowServer, version: int) -> None:
    until(lambda: server.alias("fraud") == version, deployment.logs)


def test_versions_become_arms_and_the_alias_follows_the_champion(
    deploy: Callable[..., Any], tmp_path: Path, server: MlflowServer
) -> None:
    """Registered, promoted, rolled back, caught up after a kill; never twice, never by surprise."""
    deployment = configured(deploy, tmp_path, server)
    for model in ("fraud", "ranker"):
        server.create(model)
    server.publish("fraud")

    # Without --apply it only says what it would do.
    code, plans = plan_of(deployment)
    assert code == 1
    would = "register version 1 of 'fraud' as arm 'fraud-1', in the nursery"
    assert plans["checkout"] == {"steps": [would], "left": {}}
    assert in_force(deployment, "checkout") is None
    assert not server.model("fraud").get("tags")

    following = deployment.start("mlflow", FOLLOWING)
    alias_comes_to(deployment, server, 1)
    server.publish("fraud")
    until(lambda: has_arms(deployment, "checkout", "fraud-1", "fraud-2"), deployment.logs)
    assert steer(deployment, "promote", "checkout", "fraud-2").returncode == 0
    alias_comes_to(deployment, server, 2)
    assert steer(deployment, "rollback", "checkout", "fraud-2", "--yes").returncode == 0
    alias_comes_to(deployment, server, 1)

    # In shadow, once its pipeline has passed it.
    first, second = server.publish("ranker"), server.publish("ranker", validation="passed")
    until(lambda: has_arms(deployment, "ranking", f"r{second}"), deployment.logs)
    third = server.publish("ranker", validation="passed")
    until(lambda: has_arms(deployment, "ranking", f"r{second}", f"r{third}"), deployment.logs)
    ranking = in_force(deployment, "ranking")
    assert ranking is not None
    assert ranking.weights[f"r{third}"] == 0
    assert not registrations(deployment, f"r{first}")

    # What comes during a pause is caught up, also what others did meanwhile.
    following.send_signal(signal.SIGKILL)
    following.wait()
    assert [server.publish("fraud") for _ in range(2)] == [3, 4]
    assert steer(deployment, "arm", "register", "checkout", "fraud-3").returncode == 0
    assert steer(deployment, "promote", "checkout", "fraud-3").returncode == 0
    following = deployment.start("mlflow", FOLLOWING)
    alias_comes_to(deployment, server, 3)
    every = ("fraud-1", "fraud-2", "fraud-3", "fraud-4")
    until(lambda: has_arms(deployment, "checkout", *every), deployment.logs)
    until(lambda: plan_of(deployment)[0] == 0, deployment.logs)

    # A second one finds nothing to do, and each arm was asked for once.
    assert run(deployment, "mlflow", "--apply", "--once").stdout.splitlines() == [
        "checkout: nothing to do",
        "ranking: nothing to do",
    ]
    assert [len(registrations(deployment, arm)) for arm in every] == [1, 1, 1, 1]
    assert {one.actor for one in registrations(deployment, "fraud-4")} == {"mlflow"}
    following.send_signal(signal.SIGTERM)
    assert following.wait() == 0
    assert "Traceback" not in deployment.logs()


def test_names_what_it_leaves_alone(
    deploy: Callable[..., Any], tmp_path: Path, server: MlflowServer
) -> None:
    """An alias that somebody else moved; a route, or a model, that is not there."""
    deployment = configured(deploy, tmp_path, server)
    server.create("fraud")
    assert [server.publish("fraud") for _ in range(2)] == [1, 2]
    once = run(deployment, "mlflow", "--apply", "--once")
    assert "done: register version 2 of 'fraud' as arm 'fraud-2'" in once.stdout
    assert "ranking: left: MLflow has no registered model 'ranker'" in once.stdout
    assert once.returncode == 1
    assert server.alias("fraud") == 2

    server.set_alias("fraud", 1)
    assert plan_of(deployment)[1]["checkout"]["left"].keys() == {"alias_moved"}
    assert plan_of(deployment, "--apply", "--once")[0] == 1
    assert server.alias("fraud") == 1
    plan_of(deployment, "--apply", "--once", "--take-alias", "checkout")
    assert server.alias("fraud") == 2

    server.create("lost")
    server.publish("lost")
    file = tmp_path / "elsewhere.toml"
    file.write_text((tmp_path / "leverframe.toml").read_text() + ELSEWHERE)
    done = run(deployment, "mlflow", "--apply", "--once", LEVERFRAME_CONFIG=str(file))
    assert done.returncode == 1
    assert "nowhere: left: version 1: unknown_route" in done.stdout, done.stdout
    assert len(registrations(deployment, "lost-1")) == 1
