"""Starting, finding and stopping a development broker."""

import atexit
import os
import subprocess
import threading
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.devbroker.assets import java_executable, kafka_classpath
from agents.devbroker.configuration import log_settings, server_properties, write_properties
from agents.devbroker.jars import KAFKA_VERSION
from agents.devbroker.locks import hold_lock
from agents.devbroker.ports import HOST, free_ports, is_free, kafka_answers
from agents.devbroker.processes import is_running, spawn, start_mark, terminate, wait_until
from agents.devbroker.state import BrokerState, forget_state, read_state, write_state
from schemas.errors import BrokerError

__all__ = ["RunningBroker", "find_broker", "start_broker"]

_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 20.0
_PORT_TRIES: Final = 3
_LOG_TAIL_LINES: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningBroker:
    """A broker that answers.

    Attributes
    ----------
    state : BrokerState
        Its process and port.
    data_dir : Path
        Where it keeps everything.
    """

    state: BrokerState
    data_dir: Path

    @property
    def bootstrap(self) -> str:
        """The bootstrap servers, ``host:port``."""
        return self.state.bootstrap

    @property
    def pid(self) -> int:
        """Pid of the Java process."""
        return self.state.pid

    @property
    def log(self) -> Path:
        """File with what the broker writes."""
        return Path(self.state.log)

    def is_running(self) -> bool:
        """Tell whether the process still runs.

        Returns
        -------
        bool
            False also when another process has its pid now.
        """
        return is_running(self.state.pid, self.state.start_mark)

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> bool:
        """End the broker; its topics stay in the data folder.

        Parameters
        ----------
        timeout_s : float
            How long it may take to close its files before it is killed.

        Returns
        -------
        bool
            Whether it ended by itself.
        """
        went = terminate(self.state.pid, self.state.start_mark, timeout_s)
        forget_state(self.data_dir)
        return went


def find_broker(data_dir: Path) -> RunningBroker | None:
    """Return the broker that runs on a folder, whoever started it.

    Parameters
    ----------
    data_dir : Path
        As given to ``start_broker``.

    Returns
    -------
    RunningBroker or None
        None when none runs.
    """
    state = read_state(data_dir.absolute())
    return None if state is None else RunningBroker(state=state, data_dir=data_dir.absolute())


def start_broker(
    *,
    data_dir: Path,
    port: int | None,
    cache: Path,
    report: Callable[[str], None],
    detached: bool,
    heap_mb: int = 512,
    extra_properties: Mapping[str, str] | None = None,
) -> RunningBroker:
    """Start Apache Kafka on this machine and wait until it answers.

    Parameters
    ----------
    data_dir : Path
        Where the broker keeps topics, log and settings. Made when it is not there; topics of an
        earlier start are served again.
    port : int or None
        Where to listen, on the loopback address; None asks the system for a free port.
    cache : Path
        Where Java archives are kept, as ``assets.cache_root()`` gives it.
    report : callable
        Told, in words, what is going on.
    detached : bool
        True: the broker outlives this process. False: it ends with it.
    heap_mb : int
        Java heap, in MiB.
    extra_properties : mapping, optional
        Kafka properties that win over ours.

    Returns
    -------
    RunningBroker
        Serving.

    Raises
    ------
    BrokerError
        If a broker runs on this folder already, the port is taken, the packages or the network
        are missing, or Kafka ends or does not answer in time.
    """
    data_dir = data_dir.absolute()
    java = java_executable()
    classpath = kafka_classpath(cache, report)
    with hold_lock(data_dir / "start.lock", lambda: report("Waiting for another start.")):
        if running := find_broker(data_dir):
            raise BrokerError(
                f"A broker runs on {data_dir} already, at {running.bootstrap} (pid {running.pid}). "
                "Use it, or stop it with: leverframe broker stop"
            )
        launch = _Launch(
            data_dir=data_dir,
            java=[str(java), *_java_options(data_dir, heap_mb), "-cp", _joined(classpath)],
            extra=extra_properties or {},
            detached=detached,
        )
        return _start_on_a_port(launch, port)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launch:
    """What all tries of one start have in common."""

    data_dir: Path
    java: Sequence[str]
    extra: Mapping[str, str]
    detached: bool

    @property
    def log(self) -> Path:
        return self.data_dir / "broker.log"


def _start_on_a_port(launch: _Launch, port: int | None) -> RunningBroker:
    """Start on the port asked for, or on free ones until nobody is faster than we are."""
    if port is not None:
        _refuse_taken(port)
    for tries_left in reversed(range(_PORT_TRIES)):
        chosen, controller = free_ports(2)
        broker = _start_once(launch, port or chosen, controller)
        if isinstance(broker, RunningBroker):
            return broker
        if not tries_left or "Address already in use" not in broker:
            break
    raise BrokerError(f"Kafka did not start. The last lines of {launch.log}:\n{broker}")


def _start_once(launch: _Launch, port: int, controller_port: int) -> RunningBroker | str:
    """Start, and return either the broker or the last lines of its log."""
    data_dir = launch.data_dir
    properties = data_dir / "server.properties"
    topics = data_dir / "topics"
    (data_dir / "tmp").mkdir(parents=True, exist_ok=True)
    (data_dir / "log4j2.properties").write_text(log_settings(), encoding="utf-8")
    write_properties(
        properties,
        server_properties(
            port=port, controller_port=controller_port, log_dir=topics, extra=launch.extra
        ),
    )
    if not (topics / "meta.properties").is_file():
        _format_storage(launch.java, properties)
    pid = spawn(
        [*launch.java, "kafka.Kafka", str(properties)],
        launch.log,
        os.environ,
        dies_with_us=not launch.detached and threading.current_thread() is threading.main_thread(),
    )
    mark = start_mark(pid) or ""
    state = BrokerState(
        pid=pid,
        start_mark=mark,
        port=port,
        log=str(launch.log),
        kafka_version=KAFKA_VERSION,
        started_at_ms=time.time_ns() // 1_000_000,
    )
    broker = RunningBroker(state=state, data_dir=data_dir)
    try:
        wait_until(lambda: kafka_answers(port) or not broker.is_running(), _START_TIMEOUT_S)
        if not broker.is_running() or not kafka_answers(port):
            broker.stop(0)
            return _last_lines(launch.log)
        write_state(data_dir, state)
    except BaseException:
        broker.stop(0)
        raise
    if not launch.detached:
        atexit.register(broker.stop)
    return broker


def _java_options(data_dir: Path, heap_mb: int) -> list[str]:
    """Return the options of the Java virtual machine."""
    return [
        f"-Xms{heap_mb}m",
        f"-Xmx{heap_mb}m",
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ErrorFile={data_dir / 'java-crash.log'}",
        f"-Djava.io.tmpdir={data_dir / 'tmp'}",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={data_dir / 'log4j2.properties'}",
    ]


def _format_storage(java: Sequence[str], properties: Path) -> None:
    """Give a new data folder its cluster id."""
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    command = [
        *java,
        "kafka.tools.StorageTool",
        "format",
        f"--cluster-id={cluster_id}",
        f"--config={properties}",
    ]
    done = subprocess.run(  # noqa: S603 - our own java and our own arguments
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise BrokerError(f"Kafka could not format {properties.parent}:\n{done.stdout[-2000:]}")


def _refuse_taken(port: int) -> None:
    """Say clearly that a port is taken, before Kafka says it at length."""
    if is_free(port):
        return
    who = "a Kafka broker" if kafka_answers(port) else "another program"
    raise BrokerError(
        f"Port {port} on {HOST} is taken by {who}. Choose another one with --port (0: a free one), "
        f"or use what runs there: export LEVERFRAME_BROKER={HOST}:{port}"
    )


def _last_lines(path: Path) -> str:
    """Return the end of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])


def _joined(classpath: Sequence[Path]) -> str:
    """Return a class path as Java takes it."""
    return os.pathsep.join(map(str, classpath))
