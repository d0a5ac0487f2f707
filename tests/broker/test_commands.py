"""Every command of the command line where something is missing: one line, an exit code, at once."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import click
import pytest
from doc_blocks import ROOT
from patience import PATIENCE_S

from leverframe.agents.cli.main import cli
from leverframe.agents.operator.state_file import FORM, Header, write_state
from leverframe.agents.settings import load_settings
from leverframe.streams.runtime.ledger import LAYOUT

pytestmark = pytest.mark.broker

# What is promised is 2 s; this is for a machine that does other things beside. Where those took the
# time, a command that is run again, alone, is in time.
LONGEST_S = 10.0
TRIES = 4

ROUTES = ROOT / "examples" / "routes.toml"
STEERING = [
    f"apply {ROUTES} --yes",
    "approve r",
    "arm register r a",
    "arm retire r a",
    "freeze r",
    "pin r a",
    "promote r a",
    "ramp r a",
    "reject r",
    "release r a",
    "rollback r a",
    "set-policy r ucb",
    "unfreeze r",
    "unpin r",
    "weights r a=1.0",
]
READING = [
    "audit",
    "dead-letters list",
    "dead-letters redrive 0:0 --yes",
    "dead-letters show 0:0",
    "evaluate r --policy ucb",
    "explain r",
    f"plan {ROUTES}",
    "replay r",
    "status",
    "status --follow",
    "watch",
    "watch --no-follow",
]
TOPICS = load_settings(None, {}).topics
STATE = Path(tempfile.gettempdir()) / f"leverframe-{os.getpid()}.state"
# They run while no worker does.
STARTING_ANEW = [
    "restart-from now --yes",
    f"state export {STATE}.out",
    f"state import {STATE} --yes",
    "state rebuild",
]
CHECKING = ["actuate", "doctor", "gateway", "mlflow --apply", "topics check", "worker"]
# With a broker and its topics they go on until they are told to end.
UNTIL_TOLD = {"actuate", "gateway", "mlflow --apply", "status --follow", "watch", "worker"}
# Without these ``mlflow`` and ``actuate`` say what is missing of them.
MODELS = {
    "LEVERFRAME_MLFLOW__URL": "http://127.0.0.1:9",
    "LEVERFRAME_MLFLOW__ROUTES__R__MODEL": "m",
    "LEVERFRAME_ACTUATORS__R__ARMS__A": "a",
    "LEVERFRAME_ACTUATORS__R__WEBHOOK__URL": "http://127.0.0.1:9",
}
CREATING = ["topics create"]
# They ask no broker.
PRINTING = ["topics acls worker --principal User:w"]
# Of ``labels`` and ``sources`` see test_labels_load.py and test_sources.py.
WITHOUT_SETTINGS = {"broker", "completion", "demo", "experiment", "labels", "schemas", "sources"}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    line: str
    code: int
    out: str
    err: str
    took_s: float

    @property
    def said(self) -> list[str]:
        """Return what stands on standard error."""
        return self.err.splitlines()


def run(line: str, environment: dict[str, str], folder: Path) -> Ended:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("LEVERFRAME")}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "leverframe.agents.cli.main", *line.split()],
        env={**mine, **MODELS, "LEVERFRAME_APP__DATADIR": str(folder / "data"), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Ended(line, done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def run_all(lines: list[str], environment: dict[str, str], folder: Path) -> Iterator[Ended]:
    """Run some at a time, and look at what holds of all of them."""
    with ThreadPoolExecutor(3) as pool:
        for ended in pool.map(lambda line: run(line, environment, folder), lines):
            told = f"{ended.line}: {ended.code} after {ended.took_s:.1f} s\n{ended.out}{ended.err}"
            assert "Traceback" not in ended.out + ended.err, told
            again = (run(ended.line, environment, folder).took_s for _ in range(1, TRIES))
            assert any(took_s < LONGEST_S for took_s in chain([ended.took_s], again)), told
            yield ended


@pytest.fixture(autouse=True, scope="module")
def exported() -> Iterator[None]:
    """Let there be a file that can be imported."""
    partitions = {"attribution": TOPICS.partitions, "learning": TOPICS.route_partitions}
    header = Header(
        form=FORM,
        layout=LAYOUT,
        written_by="0.1.0",
        application="leverframe",
        exported_at_ms=0,
        partitions=partitions,
    )
    write_state(STATE, header, [])
    yield
    STATE.unlink()


@pytest.fixture
def nowhere() -> Iterator[str]:
    """Give an address at which nothing listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{closed.getsockname()[1]}"


def leaves(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*path, name))


def test_every_command_is_in_the_table() -> None:
    """A new command says what it does without a broker, or that it needs none."""
    table = [*STEERING, *READING, *STARTING_ANEW, *CHECKING, *CREATING, *PRINTING]
    known = {name for name in leaves() if name.split()[0] not in WITHOUT_SETTINGS}
    assert {
        name for name in known if not any(f"{line} ".startswith(f"{name} ") for line in table)
    } == set()


def test_without_a_broker(nowhere: str, tmp_path: Path) -> None:
    """One line with the address and the cure, exit code 2; no line of aiokafka's."""
    lines = [*STEERING, *READING, *STARTING_ANEW, *CHECKING, *CREATING]
    lines.append("experiment run --live --data synthetic --strategies ucb")
    for ended in run_all(lines, {"LEVERFRAME_BROKER": nowhere}, tmp_path):
        assert ended.code == 2, ended
        said = ended.out.splitlines()[-1:] if ended.line == "doctor" else ended.said[-1:]
        assert f"no Kafka broker answers at {nowhere}" in said[0], ended
        assert "leverframe broker start" in said[0], ended
        if not ended.line.startswith("experiment"):
            assert len(ended.said) <= 1, ended


def test_a_broker_that_is_mute_is_told_before_patience_ends(tmp_path: Path) -> None:
    """Something listens and never answers: a line within moments, then the cure."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        ended = run("status", {"LEVERFRAME_BROKER": address}, tmp_path)
    assert ended.code == 2
    first, second = ended.said
    assert first == f"leverframe: waiting for the broker at {address}"
    assert "gave no answer" in second
    assert ended.took_s < 30


@pytest.mark.parametrize("kind", ["none", "other"])
def test_without_its_topics(
    kind: str, broker: Any, unique_prefix: str, tmp_path: Path, deploy: Callable[..., Any]
) -> None:
    """Names the topics and the cure; where another prefix has such topics, that prefix."""
    import asyncio

    prefix = f"{unique_prefix}typo-"
    if kind == "other":
        asyncio.run(deploy())
    environment = {"LEVERFRAME_BROKER": broker.bootstrap, "LEVERFRAME_TOPICS__PREFIX": prefix}
    lines = [*STEERING, *READING, *STARTING_ANEW, *CHECKING]
    for ended in run_all(lines, environment, tmp_path):
        text = ended.out + ended.err
        assert ended.code == (1 if ended.line == "doctor" else 2), ended
        assert re.search(f"{prefix}(audit|control|dead-letters|rewards|.*-changelog)", text), ended
        assert "leverframe topics create" in text, ended
        assert (
            "correct [topics] prefix" in text and repr(unique_prefix) in text
        ) or kind == "none", ended
        assert len(ended.said) == (0 if ended.line == "doctor" else 1), ended


def test_without_a_worker(deploy: Callable[..., Any], tmp_path: Path) -> None:
    """Topics are there and nobody works: nothing is lost, and what to start is said."""
    import asyncio

    deployment = asyncio.run(deploy())
    quiet = {"audit", "status", "watch --no-follow", "dead-letters list", "doctor", "topics check"}
    lines = [line for line in [*READING, *CHECKING] if line not in UNTIL_TOLD]
    for ended in run_all(lines, deployment.environment, tmp_path):
        assert ended.code == (0 if ended.line in quiet else 1), ended
        assert len(ended.said) <= 1, ended
    for ended in run_all(
        [f"{line} --timeout 1" for line in STEERING], deployment.environment, tmp_path
    ):
        assert ended.code == 1
        assert "is done when a worker runs: leverframe worker" in ended.said[0]
        assert len(ended.said) == 1


def test_with_settings_that_cannot_be_read(tmp_path: Path) -> None:
    """TOML that is none: its file and line, exit code 2; the broker is not even asked."""
    file = tmp_path / "bad.toml"
    file.write_text("[app\n", encoding="utf-8")
    environment = {"LEVERFRAME_CONFIG": str(file)}
    for ended in run_all(
        [*STEERING, *READING, *CHECKING, *CREATING, *PRINTING], environment, tmp_path
    ):
        assert ended.code == 2, ended
        assert len(ended.said) == 1, ended
        assert ended.said[0].startswith(f"leverframe: {file} is not TOML:"), ended
