"""What pip installs: the wheel beside other people's packages, and the client alone."""

import asyncio
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage

ROOT = Path(__file__).parents[2]
PINS = ROOT / "requirements"
THEIRS = ("schemas", "agents", "policies", "streams", "serving")
# A pause long enough for a machine five times slower, and for wheels that come over the network.
PATIENCE_S = 300

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


def run(*command: str, cwd: Path, code: int = 0) -> str:
    """Run a command outside the checkout, in an environment that does not know of it."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == code, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the wheel, built from the source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def environment(folder: Path, *requirements: str) -> str:
    """Make an empty virtual environment with hashed pins, and return its Python."""
    venv.create(folder, with_pip=False)
    python = str(folder / "bin" / "python")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    for file in requirements:
        run(*pip, "--require-hashes", "--no-deps", "-r", str(PINS / file), cwd=folder)
    return python


def install(python: str, wheel: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--no-deps", str(wheel), cwd=wheel.parent)


@pytest.fixture(scope="module")
def client(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the Python of an environment that holds the client and what it needs, no more."""
    python = environment(tmp_path_factory.mktemp("client"), "client.txt")
    install(python, wheel)
    return python


def test_wheel_holds_one_package(wheel: Path) -> None:
    """Nothing but ``leverframe/`` lands in site-packages, with pages, vectors and type marker."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"leverframe"}
    for wanted in (
        "py.typed",
        "serving/vectors.json",
        "agents/web/static/index.html",
        "agents/web/static/vendor/uplot/LICENSE",
    ):
        assert f"leverframe/{wanted}" in names
    assert not [name for name in names if name.startswith("leverframe/experiments/report/")]


def test_wheel_is_the_same_bytes_when_it_is_built_again(wheel: Path, tmp_path: Path) -> None:
    """From the checkout, with other rights and at another time, as from the source distribution."""
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path))
    run("/bin/sh", "-c", 'umask 077; exec "$@"', "sh", sys.executable, *build, cwd=ROOT)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_worker_can_be_built_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """Outside the checkout, with the builder's third-party packages: app, command line, entry."""
    python = environment(tmp_path / "env")
    install(python, wheel)
    purelib = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")})
    # Without this project's editable install, which is a path file and is not read there.
    (Path(purelib) / "third_party.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    code = f"""
import pathlib, leverframe
assert pathlib.Path({str(ROOT)!r}) not in pathlib.Path(leverframe.__file__).resolve().parents
from leverframe.agents.settings import load_settings
from leverframe.agents.worker.app import build_app
build_app(load_settings(None, {{}}))
from importlib.metadata import entry_points
(point,) = entry_points(group="faust.transports", name="microbatch")
assert point.load().__name__ == "MicrobatchTransport"
"""
    run(python, "-c", code, cwd=tmp_path)
    helped = run(str(tmp_path / "env" / "bin" / "leverframe"), "--help", cwd=tmp_path)
    assert {"worker", "demo", "rollback", "broker"} <= set(helped.split())


@pytest.mark.parametrize("has_init", [True, False], ids=["with __init__", "without __init__"])
def test_lives_beside_a_project_with_such_folders(
    client: str, tmp_path: Path, *, has_init: bool
) -> None:
    """A project's own ``schemas/`` or ``agents/`` stays its own, and the client imports there."""
    for name in THEIRS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.py").write_text("THEIRS = True\n")
        if has_init:
            (tmp_path / name / "__init__.py").touch()
    own = "\n".join(f"from {name}.own import THEIRS" for name in THEIRS)
    code = f"from leverframe.serving import Assignment, Subscriber, ThreadSubscriber, assign\n{own}"
    run(client, "-c", code, cwd=tmp_path)


def test_lives_beside_openai_agents(wheel: Path, tmp_path: Path) -> None:
    """The distribution that owns the package ``agents`` keeps it, in one environment with us."""
    python = environment(tmp_path / "env", "client.txt", "beside.txt")
    install(python, wheel)
    code = """
from importlib.metadata import distribution
from importlib.util import find_spec
from leverframe.serving import Subscriber
ours = {str(file) for file in distribution("leverframe").files}
theirs = {str(file) for file in distribution("openai-agents").files}
assert not ours & theirs, ours & theirs
home = distribution("openai-agents").locate_file("agents/__init__.py")
assert find_spec("agents").origin == str(home)
"""
    run(python, "-c", code, cwd=tmp_path)


def test_client_alone_names_the_extra(client: str, tmp_path: Path) -> None:
    """``leverframe worker`` without the job's packages is one line with the cure, exit code 2."""
    said = run(str(Path(client).parent / "leverframe"), "worker", cwd=tmp_path, code=2)
    assert said.count("\n") == 1
    assert "pip install 'leverframe[worker]'" in said


FOLLOW = """
import asyncio, sys
from leverframe.serving import Subscriber

async def main():
    servers, topic = sys.argv[1:]
    async with Subscriber(servers, control=topic) as routing:
        for _ in range(600):
            if (assigned := routing.assign("checkout", "request-1")) is not None:
                print(assigned.arm, assigned.propensity, assigned.message.seq)
                return
            await asyncio.sleep(0.05)
    sys.exit("nothing was heard")

asyncio.run(main())
heavy = {"faust", "numpy", "scipy", "river", "rocksdict", "click", "structlog"} & sys.modules.keys()
assert not heavy, heavy
"""


@pytest.mark.broker
def test_client_alone_follows_control(
    deploy: Callable[..., Any], client: str, tmp_path: Path
) -> None:
    """The small form assigns by what a real topic says, and loads nothing of the job."""
    servers, topic = asyncio.run(published(deploy))
    said = run(client, "-c", FOLLOW, servers, topic, cwd=tmp_path)
    assert said.split() == ["a", "1.0", "7"]


async def published(deploy: Callable[..., Any]) -> tuple[str, str]:
    """Write a control message; return servers and topic."""
    deployment = await deploy()
    servers, topic = deployment.settings.broker.servers, deployment.settings.topic_names.control
    message = ControlMessage(
        route="checkout",
        epoch=0,
        seq=7,
        kind="routing",
        weights={"a": 1.0},
        champion="a",
        safe_weights={"a": 1.0},
        ttl_ms=60_000,
        issued_at_ms=time.time_ns() // 1_000_000,
        salt="00",
        cause={"why": "registered"},
        state_digest="00",
    )
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait(topic, encode(message), key=b"checkout")
    return servers, topic
