"""One try to start Kafka: its files, its storage, its process, its first answer."""

import os
import subprocess
import threading
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from leverframe.devbroker.assets import version_of
from leverframe.devbroker.configuration import (
    LOG_SETTINGS,
    Listener,
    server_properties,
    write_properties,
)
from leverframe.devbroker.ports import kafka_answers
from leverframe.devbroker.processes import is_running, spawn, start_mark, terminate, wait_until
from leverframe.devbroker.state import BrokerState
from leverframe.schemas.errors import BrokerError

__all__ = ["Launch", "last_lines", "new_cluster_id"]

_START_TIMEOUT_S: Final = 150.0
_TAIL_LINES: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What all tries of one start have in common.

    Attributes
    ----------
    data_dir : Path
        Absolute; exists.
    java : Path
        The executable.
    classpath : sequence of Path
        Kafka's jars.
    heap_mb : int
        Java heap, in MiB.
    extra_properties : mapping
        Win over ours.
    detached : bool
        Whether the broker outlives this process.
    listeners : sequence of Listener
        More ways in than the plain one.
    cluster_id : str
        What a new data folder belongs to; a random one when empty. Nodes of one cluster share it.
    """

    data_dir: Path
    java: Path
    classpath: Sequence[Path]
    heap_mb: int
    extra_properties: Mapping[str, str]
    detached: bool
    listeners: Sequence[Listener] = ()
    cluster_id: str = ""

    @property
    def log(self) -> Path:
        """File with what the broker writes."""
        return self.data_dir / "broker.log"

    def start(self, port: int, controller_port: int) -> BrokerState:
        """Start Kafka and wait until it answers; leave nothing running if it does not.

        Raises ``BrokerError`` if Kafka ends or does not answer in time.
        """
        properties = self._write_files(port, controller_port)
        if not (self._topics / "meta.properties").is_file():
            self._format_storage(properties)
        pid = spawn(
            [*self._command, "kafka.Kafka", str(properties)],
            self.log,
            os.environ,
            # the system ties it to the *thread* that starts it
            dies_with_us=not self.detached
            and threading.current_thread() is threading.main_thread(),
        )
        mark = start_mark(pid) or ""
        try:
            self._wait_for_answer(pid, mark, port)
        except BaseException:  # an interrupt, too, must leave nothing behind
            terminate(pid, mark, 0)
            raise
        return BrokerState(
            pid=pid,
            start_mark=mark,
            port=port,
            log=str(self.log),
            kafka_version=version_of(self.classpath),
            started_at_ms=time.time_ns() // 1_000_000,
        )

    def lost_a_port(self) -> bool:
        """Tell whether the last try failed because another process was faster on a port."""
        return self.log.is_file() and "Address already in use" in self.log.read_text(
            errors="replace"
        )

    @property
    def _topics(self) -> Path:
        return self.data_dir / "topics"

    @property
    def _command(self) -> list[str]:
        """Java with its options, up to the main class."""
        data_dir = self.data_dir
        return [
            str(self.java),
            f"-Xmx{self.heap_mb}m",
            # measured beside G1 on 2 cores: same throughput, 170 MB less memory, faster start
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            f"-XX:ErrorFile={data_dir / 'java-crash.log'}",
            f"-Djava.io.tmpdir={data_dir / 'tmp'}",
            f"-Dlog4j2.configurationFile={data_dir / 'log4j2.properties'}",
            "-cp",
            os.pathsep.join(map(str, self.classpath)),
        ]

    def _write_files(self, port: int, controller_port: int) -> Path:
        """Write the settings and return where the broker's own are."""
        (self.data_dir / "tmp").mkdir(exist_ok=True)
        (self.data_dir / "log4j2.properties").write_text(LOG_SETTINGS, encoding="utf-8")
        path = self.data_dir / "server.properties"
        properties = server_properties(
            port=port,
            controller_port=controller_port,
            log_dir=self._topics,
            extra=self.extra_properties,
            listeners=self.listeners,
        )
        write_properties(path, properties)
        return path

    def _format_storage(self, properties: Path) -> None:
        """Give a new data folder its cluster id."""
        cluster_id = self.cluster_id or new_cluster_id()
        options = [f"--cluster-id={cluster_id}", f"--config={properties}", "--ignore-formatted"]
        done = subprocess.run(  # noqa: S603 - our own java, our own arguments
            [*self._command, "kafka.tools.StorageTool", "format", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BrokerError(f"Kafka could not format {self._topics}:\n{_tail(done.stdout)}")

    def _wait_for_answer(self, pid: int, mark: str, port: int) -> None:
        """Return when the broker answers."""

        def is_decided() -> bool:
            return kafka_answers(port) or not is_running(pid, mark)

        in_time = wait_until(is_decided, _START_TIMEOUT_S)
        if in_time and is_running(pid, mark):
            return
        what = "ended while it started" if in_time else f"gave no answer in {_START_TIMEOUT_S:g} s"
        raise BrokerError(f"Kafka {what}. The end of {self.log}:\n{last_lines(self.log)}")


def new_cluster_id() -> str:
    """Return a random cluster id, as Kafka writes them."""
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def last_lines(log: Path) -> str:
    """Return the end of a log, without Java's stack frames."""
    return _tail(log.read_text(errors="replace")) if log.is_file() else ""


def _tail(text: str) -> str:
    """Return the last lines that say something."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("\t")]
    return "\n".join(lines[-_TAIL_LINES:])
