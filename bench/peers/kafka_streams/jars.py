"""The jars that Kafka Streams needs beside the broker's, pinned as those are."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from bench.peers.contender import LeftOutError, Report
from leverframe.devbroker.assets import cache_root, java_executable, kafka_classpath
from leverframe.devbroker.jars import KAFKA_VERSION, PINNED_JARS, parse_jars
from leverframe.devbroker.locks import hold_lock
from leverframe.schemas.errors import BrokerError

__all__ = ["java_command"]

_PINS: Final = """
org.apache.kafka:kafka-streams:4.3.1 2277950
  bd73f3805e116f711e8456ee89a8a5b43ff5dcf5a5bb865afae29deae89e7c4b
org.rocksdb:rocksdbjni:10.1.3 72725808
  e7f925287d9fe2574fb7c7a86f7facaa9b8ab602a2eed0e598bf633528121498
"""
_SHARED: Final = {
    "jackson-annotations",
    "jackson-core",
    "jackson-databind",
    "kafka-clients",
    "log4j-api",
    "log4j-core",
    "log4j-slf4j-impl",
    "lz4-java",
    "slf4j-api",
    "snappy-java",
    "zstd-jni",
}
"""Of the broker's jars."""


def java_command(report: Report) -> list[str]:
    """Return Java with the class path of the peer, which is compiled when it has changed.

    Raises ``LeftOutError`` if there is no Java compiler, or the jars cannot be had.
    """
    compiler = shutil.which("javac")
    if compiler is None:
        raise LeftOutError("no javac on the PATH; install a JDK of version 17 or newer")
    chosen = [jar for jar in PINNED_JARS if jar.coordinate.split(":")[1] in _SHARED]
    try:
        java = java_executable()
        jars = kafka_classpath(cache_root(), report, jars=[*chosen, *parse_jars(_PINS)])
    except (BrokerError, OSError) as error:
        raise LeftOutError(f"its jars cannot be had: {error}") from error
    classes = _compiled(compiler, jars)
    return [str(java), "-cp", os.pathsep.join(map(str, [classes, *jars]))]


def _compiled(compiler: str, jars: list[Path]) -> Path:
    """Return the folder of the classes; its name holds a hash of the sources."""
    sources = sorted(Path(__file__).parent.glob("*.java"))
    digest = hashlib.sha256(KAFKA_VERSION.encode())
    for source in sources:
        digest.update(source.read_bytes())
    root = cache_root() / "bench"
    folder = root / f"kafka-streams-{digest.hexdigest()[:16]}"
    with hold_lock(root / "kafka-streams.lock", lambda: None):
        if folder.is_dir():
            return folder
        with tempfile.TemporaryDirectory(dir=root, prefix="part-") as part:
            command = [compiler, "--release", "17", "-d", f"{part}/classes"]
            command += ["-cp", os.pathsep.join(map(str, jars)), *map(str, sources)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise LeftOutError(f"{compiler} could not compile it:\n{done.stderr}")
            Path(part, "classes").rename(folder)
    return folder
