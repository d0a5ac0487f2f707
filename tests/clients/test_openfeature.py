"""OpenFeature's own clients ask a gateway: each unit has the arm that the vectors pin."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking import control_message
from gateways import Gateway, publish
from harness import Deployment
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from patience import until

from leverframe.devbroker.assets import cache_root
from leverframe.schemas.control import ControlMessage
from leverframe.serving import assigner

pytestmark = pytest.mark.broker

HERE = Path(__file__).parent
LONG_S = 300
UNREACHABLE = re.compile(
    "ENOTFOUND|ECONN|EAI_AGAIN|ETIMEDOUT|dial tcp|could not be resolved|Could not transfer",
    re.IGNORECASE,
)
NODE = (
    "@openfeature/server-sdk@1.23.0",
    "@openfeature/core@1.12.0",
    "@openfeature/ofrep-core@0.1.4",
    "@openfeature/ofrep-provider@0.1.3",
    "@openfeature/web-sdk@1.10.0",
    "@openfeature/ofrep-web-provider@0.4.3",
    "eventsource@3.0.7",
)
Case = tuple[str, str, str, float]


def vectors() -> tuple[list[ControlMessage], list[Case]]:
    """Return a route for each of the vectors' weights, and what must come out."""
    text = (Path(assigner.__file__).parent / "vectors.json").read_text("utf-8")
    messages: dict[str, ControlMessage] = {}
    cases: list[Case] = []
    for case in json.loads(text)["cases"]:
        # A control message's shares are at most 1, and OpenFeature's clients send no empty key.
        if max(case["weights"].values()) <= 1 and case["unit"]:
            route = f"route-{case['salt']}"
            messages[route] = control_message(
                route, case["weights"], salt=case["salt"], ttl_ms=3_600_000
            )
            cases.append((route, case["unit"], case["arm"], case["propensity"]))
    assert len(cases) > 1000
    return list(messages.values()), cases


@pytest.fixture
def gateway(deploy: Callable[..., Any]) -> tuple[Deployment, Gateway]:
    async def begin() -> Deployment:
        deployment: Deployment = await deploy()
        await publish(deployment, *vectors()[0])
        return deployment

    deployment = asyncio.run(begin())
    return deployment, Gateway(deployment).wait()


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.drill)])
def test_python(every: int, gateway: tuple[Deployment, Gateway]) -> None:
    """Value and propensity of each; an unknown route gives the caller's default."""
    api.set_provider(OFREPProvider(gateway[1].url))
    try:
        client = api.get_client()
        for route, unit, arm, propensity in vectors()[1][::every]:
            found = client.get_string_details(route, "", EvaluationContext(unit))
            assert (found.value, found.error_code) == (arm, None), (route, unit, found)
            assert found.flag_metadata["propensity"] == propensity
            assert found.reason == ("STATIC" if propensity == 1 else "SPLIT")
        assert client.get_string_value("none", "mine", EvaluationContext("u")) == "mine"
    finally:
        api.clear_providers()


def node_modules() -> tuple[str, Path]:
    """Return Node and a folder with OpenFeature's packages, fetched once."""
    node, npm = tool("node"), tool("npm")
    folder = (cache_root() / "openfeature").absolute()
    if not (folder / "node_modules" / "eventsource").exists():
        words = (npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *NODE)
        build(*words, folder=folder)
    for file in (HERE / "openfeature.mjs", HERE / "events.mjs"):
        shutil.copy(file, folder)
    return node, folder


@pytest.mark.drill
def test_node(gateway: tuple[Deployment, Gateway]) -> None:
    """The same, by OpenFeature for Node."""
    node, folder = node_modules()
    check(asked(node, "openfeature.mjs", gateway[1].url, folder=folder))


@pytest.mark.drill
def test_go(gateway: tuple[Deployment, Gateway]) -> None:
    """The same, by OpenFeature for Go; its modules are fetched once."""
    go, cache = tool("go"), (cache_root() / "openfeature-go").absolute()
    program = cache / "asking"
    more = {"GOCACHE": str(cache / "cache"), "GOMODCACHE": str(cache / "modules")}
    more |= {"GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local"}
    build(go, "build", "-o", str(program), ".", folder=HERE / "openfeature_go", **more)
    check(asked(str(program), gateway[1].url, folder=cache))


@pytest.mark.drill
def test_java(gateway: tuple[Deployment, Gateway], tmp_path: Path) -> None:
    """The same, by OpenFeature for Java; its jars are fetched once."""
    maven, javac, java = tool("mvn"), tool("javac"), tool("java")
    sources = HERE / "openfeature_java"
    jars = (cache_root() / "openfeature-java").absolute()
    if not jars.exists():
        pom = shutil.copy(sources / "pom.xml", tmp_path)
        words = ("-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DincludeScope=runtime")
        build(maven, *words, f"-DoutputDirectory={jars}", folder=tmp_path)
    path = f"{jars}/*:{tmp_path}"
    build(javac, "-cp", path, "-d", str(tmp_path), str(sources / "Asking.java"), folder=tmp_path)
    check(asked(java, "-cp", path, "Asking", gateway[1].url, folder=tmp_path))


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


def build(*words: str, folder: Path, **more: str) -> None:
    """Fetch and build; a machine that cannot fetch skips, one that cannot compile fails."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG_S,
    )
    told = done.stdout + done.stderr
    if done.returncode and UNREACHABLE.search(told):
        pytest.skip(f"its packages cannot be had: {told[-300:]}")
    assert done.returncode == 0, told


def asked(*words: str, folder: Path) -> list[list[Any]]:
    """Let a client ask for all of the vectors, and for a flag that is not there."""
    cases = [(route, unit) for route, unit, _, _ in vectors()[1]] + [("none", "u")]
    lines = "".join(f"{route.encode().hex()}\t{unit.encode().hex()}\n" for route, unit in cases)
    done = subprocess.run(
        words, cwd=folder, input=lines, capture_output=True, text=True, check=False, timeout=LONG_S
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(answers: list[list[Any]]) -> None:
    """Value, reason, propensity and epoch of each; the caller's default where there is no flag."""
    *found, unknown = answers
    for (route, unit, arm, propensity), told in zip(vectors()[1], found, strict=True):
        reason = "STATIC" if propensity == 1 else "SPLIT"
        assert told == [arm, reason, propensity, 1, ""], (route, unit)
    assert (unknown[0], unknown[-1]) == ("", "FLAG_NOT_FOUND")


@pytest.mark.drill
def test_a_page_sees_a_rollback_without_polling(gateway: tuple[Deployment, Gateway]) -> None:
    """OpenFeature's provider for pages follows the event stream and asks again by itself."""
    node, folder = node_modules()
    deployment, answering = gateway
    halves = control_message("shown", {"a": 0.0, "b": 1.0})
    asyncio.run(publish(deployment, halves))
    words = [node, "events.mjs", answering.url, "shown", "user-1"]
    log = deployment.folder / "page.log"
    with log.open("wb") as out:
        page = subprocess.Popen(words, cwd=folder, stdout=out, stderr=out, env=os.environ)
    deployment.workers.append(page)

    def told() -> list[str]:
        lines = [line for line in log.read_text().splitlines() if line.startswith("[")]
        return [json.loads(line)[0] for line in lines]

    until(lambda: told()[-1:] == ["b"], deployment.logs)
    back = control_message("shown", {"a": 1.0}, kind="rollback", epoch=2, seq=2)
    asyncio.run(publish(deployment, back))
    until(lambda: told()[-1:] == ["a"], deployment.logs)
