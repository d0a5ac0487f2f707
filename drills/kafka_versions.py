"""The job on other versions of Apache Kafka: ``python -m drills.kafka_versions 3.7.2 4.0.1``.

Of each version the broker's jars are brought once, without pins: it is for trying, not for use.
Before 4.0 Kafka needs a Java before 24 for SASL: name one in ``LEVERFRAME_JAVA``. On it run the
tests that meet the broker most, then short drills of kills, zombies and rebalances. The exit code
is 1 where any of that failed; ``--folder`` keeps what each said.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

from leverframe.devbroker.assets import cache_root

VERSIONS: Final = ("3.7.2", "3.8.1", "3.9.1", "4.0.1", "4.1.1", "4.2.0", "4.3.1")
TESTS: Final = (
    "tests/broker/test_worker.py",
    "tests/broker/test_inputs.py",
    "tests/broker/test_sources.py",
    "tests/broker/test_gateway.py",
    "tests/broker/test_doctor.py",
    "tests/broker/test_closed_loop.py",
    "tests/failure/test_backup.py",
    "tests/failure/test_fatal_group_errors.py",
    "tests/failure/test_lost_state.py",
    "tests/failure/test_rights.py",
    "tests/failure/test_secure_broker.py",
    "tests/failure/test_static_membership.py",
)
DRILLS: Final = ("kill-random", "zombie", "rebalance")
_COUNTS: Final = re.compile(r"^=+ (.*(?:passed|failed|error).*?) in [\d.]+s", re.MULTILINE)


class Tried(Struct):
    """What became of one version.

    Attributes
    ----------
    version : str
        Of Kafka.
    tests : str
        Pytest's own count, or what came in its place.
    drills : str
        ``good``, or what was not.
    seconds : float
        All of it took.
    """

    version: str
    tests: str
    drills: str
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether nothing failed."""
        return "failed" not in self.tests and "error" not in self.tests and self.drills == "good"


def _bring(version: str) -> Path:
    """Return a folder with the jars of a version."""
    folder = cache_root() / f"kafka-{version}-tried"
    if not folder.is_dir():
        part = folder.with_suffix(".part")
        command = ["-m", "leverframe.devbroker.pin", version, "--into", str(part)]
        subprocess.run([sys.executable, *command], check=True)
        part.replace(folder)
    return folder


def _run(command: list[str], environment: dict[str, str], log: Path) -> int:
    with log.open("wb") as out:
        return subprocess.run(
            [sys.executable, "-m", *command], env=environment, stdout=out, stderr=out, check=False
        ).returncode


def _try(version: str, folder: Path, drills: list[str]) -> Tried:
    began_s = time.monotonic()
    environment = {**os.environ, "LEVERFRAME_KAFKA_JARS": str(_bring(version))}
    log = folder / f"{version}-tests.log"
    wanted = ["-m", "broker and not drill", "-n", "2", "--dist", "loadfile"]
    code = _run(["pytest", *wanted, *TESTS], environment, log)
    found = _COUNTS.findall(log.read_text(errors="replace"))
    tests = found[-1] if found else f"pytest ended with {code}"
    said = "not run"
    if drills:
        ended = _run(
            ["drills", *drills, "--times", "2"], environment, folder / f"{version}-drills.log"
        )
        said = "good" if ended == 0 else f"ended with {ended}"
    return Tried(version, tests, said, time.monotonic() - began_s)


def main() -> int:
    """Try each version; print a table."""
    parser = argparse.ArgumentParser(prog="drills.kafka_versions", description=__doc__)
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    parser.add_argument("--folder", type=Path, help="keep logs here")
    parser.add_argument("--drills", nargs="*", default=list(DRILLS), help="none: tests alone")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="kafka-versions-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for version in options.versions:
            result = _try(version, folder, options.drills)
            print(f"Kafka {version}: {result}", file=sys.stderr, flush=True)
            results.append(result)
    print("| Kafka | tests | drills | |\n|---|---|---|---|")
    for one in results:
        print(f"| {one.version} | {one.tests} | {one.drills} | {one.seconds:.0f} s |")
    return int(not all(one.is_good for one in results))


if __name__ == "__main__":
    sys.exit(main())
