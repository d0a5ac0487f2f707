"""docs/tutorial.md, followed to the letter: every block, in its order, on a broker of its own."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import ROOT, Block, blocks_of
from patience import PATIENCE_S, until

from leverframe.devbroker.ports import free_ports

pytestmark = pytest.mark.broker

PAGE = ROOT / "docs" / "tutorial.md"
TEXT = PAGE.read_text(encoding="utf-8")


class Reader:
    """Somebody who does what the page says, in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.port,) = free_ports(1)
        own = {name: value for name, value in os.environ.items() if "LEVERFRAME" not in name}
        bin_folder = str(Path(sys.executable).parent)
        # The port and the folder of the broker are those of the tests, all else is the page's.
        self.environment = own | {
            "PATH": f"{bin_folder}{os.pathsep}{own['PATH']}",
            "LEVERFRAME_CONFIG": "leverframe.toml",
        }
        self._broker_options = ["--data-dir", str(folder / "kafka")]
        self._stay: dict[str, subprocess.Popen[bytes]] = {}

    def follow(self, block: Block) -> str:
        """Save a file, start what stays, or run commands and return what they say."""
        name = re.match(r"# (\S+\.\w+)\n", block.text)
        if name:
            text = block.text.replace("6066", str(self.port))
            (self.folder / name[1]).write_text(text, encoding="utf-8")
            return ""
        line = block.text.strip()
        if line.startswith(("leverframe worker", "python serve.py")):
            self._start(line)
            return ""
        return "\n".join(self.run(command) for command in line.splitlines())

    def run(self, line: str) -> str:
        """Run one command; it must succeed."""
        words = shlex.split(line)
        if words[:2] == ["leverframe", "broker"]:
            words += self._broker_options + (["--port", "0"] if words[2] == "start" else [])
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{line}\n{said}\n{self.logs()}"
        if exported := re.search(r"^export (\w+)=(\S+)$", said, re.MULTILINE):
            self.environment[exported[1]] = exported[2]
        return said

    def _start(self, line: str) -> None:
        words = shlex.split(line)
        with (self.folder / f"{words[1]}.log").open("wb") as log:
            self._stay[words[1]] = subprocess.Popen(
                words, cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        if words[1] == "worker":
            until(self._is_ready, self.logs)

    def _is_ready(self) -> bool:
        """Whoever types the next command has seen the worker come up."""
        try:
            address = f"http://127.0.0.1:{self.port}/health/ready"
            with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def logs(self) -> str:
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')[-2000:]}"
            for path in self.folder.glob("*.log")
        )

    def interrupt(self) -> None:
        """Press Ctrl-C in both terminals."""
        for process in self._stay.values():
            process.send_signal(signal.SIGINT)
        for name, process in self._stay.items():
            assert process.wait(PATIENCE_S) == 0, f"{name}\n{self.logs()}"

    def end(self) -> None:
        """Leave nothing behind, whatever happened."""
        for process in self._stay.values():
            process.kill()
            process.wait()
        words = ["leverframe", "broker", "stop", *self._broker_options]
        subprocess.run(words, env=self.environment, capture_output=True, check=False)

    def dashboard(self, path: str) -> Any:
        address = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error}\n{self.logs()}") from error

    def detail(self) -> Any:
        """What the page of the route shows, as its script gets it."""
        return self.dashboard("/api/route?name=digits")["detail"]

    def until(self, what: str, is_so: Callable[[Any], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so(detail := self.detail()):
            assert time.monotonic() < deadline, f"{what}: {detail}\n{self.logs()}"
            time.sleep(0.2)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Give a reader with an empty folder, whose Ctrl-C is heard also where ours is ignored.

    A process inherits that SIGINT is ignored, as in what a shell started in the background.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    somebody = Reader(tmp_path)
    try:
        yield somebody
    finally:
        somebody.end()
        signal.signal(signal.SIGINT, before)


def weights(detail: Any) -> dict[str, float]:
    found: dict[str, float] = detail["weights"]
    return found


@pytest.mark.drill
def test_tutorial_does_what_it_says(reader: Reader) -> None:
    """Traffic moves to the better model; when it breaks it is rolled back; it can be released."""

    def took_over() -> None:
        """Soon the logistic model has most of the traffic, and is champion."""
        reader.until(
            "it takes over",
            lambda now: weights(now)["logistic"] > 0.5 and now["champion"] == "logistic",
        )

    def rolled_back() -> None:
        """Soon it has no traffic, and stays in quarantine."""
        reader.until("it is rolled back", lambda now: weights(now) == {"tree": 1, "logistic": 0})
        assert reader.detail()["quarantined"] == ["logistic"]

    def came_back() -> None:
        reader.until("it is released", lambda now: weights(now)["logistic"] == 0.1)

    after: dict[str, Callable[[], None]] = {
        "leverframe arm register digits tree": took_over,
        "touch broken": rolled_back,
        "rm broken": came_back,
    }
    said = {}
    first, *rest = [
        block for block in blocks_of(PAGE) if block.language in {"sh", "python", "toml"}
    ]
    assert first.text.startswith("git clone")
    for block in rest:
        if block.text.startswith("leverframe broker stop"):
            reader.interrupt()
        name = block.text.splitlines()[0]
        said[f"{name} {block.line}"] = reader.follow(block)
        after.get(name, lambda: None)()

    def of(command: str) -> list[str]:
        return [text for name, text in said.items() if name.startswith(command)]

    for promised in re.findall(r"`(\w+: \d+% right)`", TEXT):
        assert promised in of("python models.py")[0]
    first_status, second_status = of("leverframe status digits")
    assert re.search(r"logistic +0\.9\d+ .* champion", first_status)
    assert re.search(r"logistic +0\.000 .* quarantined", second_status)
    assert re.search(r"logistic was rolled back.* labels.*log evidence", second_status)
