"""Starting, finding and stopping a development broker."""

import atexit
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from leverframe.devbroker.assets import java_executable, kafka_classpath
from leverframe.devbroker.configuration import Listener
from leverframe.devbroker.launch import Launch
from leverframe.devbroker.locks import hold_lock
from leverframe.devbroker.ports import HOST, free_ports, why_not_free
from leverframe.devbroker.processes import is_running, terminate
from leverframe.devbroker.state import BrokerState, forget_state, read_state, write_state
from leverframe.schemas.errors import BrokerError

__all__ = ["RunningBroker", "find_broker", "start_broker"]

_STOP_TIMEOUT_S: Final = 20.0
_PORT_TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningBroker:
    """A broker that answered.

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

        False also when another process has its pid now.
        """
        return is_running(self.state.pid, self.state.start_mark)

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> bool:
        """End the broker; its topics stay in the data folder. Stopping twice does no harm."""
        went_by_itself = terminate(self.state.pid, self.state.start_mark, timeout_s)
        forget_state(self.data_dir, self.state)
        return went_by_itself


def find_broker(data_dir: Path) -> RunningBroker | None:
    """Return the broker that runs on a folder, whoever started it.

    None when none runs.
    """
    data_dir = data_dir.absolute()
    state = read_state(data_dir)
    return None if state is None else RunningBroker(state=state, data_dir=data_dir)


def start_broker(
    *,
    data_dir: Path,
    port: int | None,
    cache: Path,
    report: Callable[[str], None],
    detached: bool,
    heap_mb: int = 512,
    extra_properties: Mapping[str, str] | None = None,
    listeners: Sequence[Listener] = (),
) -> RunningBroker:
    """Start Apache Kafka on this machine and wait until it answers.

    Raises ``BrokerError`` if a broker runs on this folder already, the port is taken, the packages
    or the network are missing, or Kafka ends or does not answer in time.
    """
    data_dir = data_dir.absolute()
    _refuse_to_start(data_dir, port)  # before a download, and again when it is our turn
    try:
        java, classpath = java_executable(), kafka_classpath(cache, report)
        launch = Launch(
            data_dir=data_dir,
            java=java,
            classpath=classpath,
            heap_mb=heap_mb,
            extra_properties=extra_properties or {},
            detached=detached,
            listeners=listeners,
        )
        with hold_lock(
            data_dir / "start.lock",
            lambda: report(f"Another process starts a broker on {data_dir}, waiting for it."),
        ):
            _refuse_to_start(data_dir, port)
            return _start(launch, port)
    except OSError as error:
        raise BrokerError(
            f"The broker could not be started: {error}. Check that {data_dir} and {cache} can be "
            "written and the disk is not full; --data-dir and LEVERFRAME_CACHE name other folders."
        ) from error


def _start(launch: Launch, port: int | None) -> RunningBroker:
    """Start on the port asked for or a free one; again if another process took one meanwhile."""
    for tries_left in reversed(range(_PORT_TRIES)):
        free = [each for each in free_ports(3) if each != port]
        try:
            state = launch.start(port or free[0], free[1])
            break
        except BrokerError:
            if not tries_left or not launch.lost_a_port():
                raise
    broker = RunningBroker(state=state, data_dir=launch.data_dir)
    write_state(launch.data_dir, state)
    if not launch.detached:
        atexit.register(_stop_at_exit, broker, os.getpid())
    return broker


def _refuse_to_start(data_dir: Path, port: int | None) -> None:
    """Say clearly what Kafka would say late and at length."""
    if running := find_broker(data_dir):
        raise BrokerError(
            f"A broker runs on {data_dir} already, at {running.bootstrap} (pid {running.pid}). Use "
            "it, stop it with `leverframe broker stop`, or choose another folder with --data-dir."
        )
    if port and (reason := why_not_free(port)):
        raise BrokerError(
            f"Port {port} on {HOST} {reason}. Choose another one with --port (0: any free one), "
            f"or use a broker that runs already: export LEVERFRAME_BROKER={HOST}:{port}"
        )


def _stop_at_exit(broker: RunningBroker, owner: int) -> None:
    """Stop a broker that was not detached, unless this is a fork of its owner."""
    if os.getpid() == owner:
        broker.stop()
