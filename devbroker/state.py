"""What is known about a running broker, in ``<data_dir>/broker.json``, for other processes."""

from pathlib import Path
from typing import Final

import msgspec

from leverframe.devbroker.ports import HOST
from leverframe.devbroker.processes import is_running

__all__ = ["BrokerState", "forget_state", "read_state", "write_state"]

_FILE: Final = "broker.json"


class BrokerState(msgspec.Struct, frozen=True, kw_only=True):
    """A broker that was started here.

    Attributes
    ----------
    pid : int
        Of the Java process.
    start_mark : str
        Tells it from a later process with the same pid.
    port : int
        Where it listens, on the loopback address.
    log : str
        File with what it writes.
    kafka_version : str
        Of the broker.
    started_at_ms : int
        When, since the epoch.
    """

    pid: int
    start_mark: str
    port: int
    log: str
    kafka_version: str
    started_at_ms: int

    @property
    def bootstrap(self) -> str:
        """The bootstrap servers, ``host:port``."""
        return f"{HOST}:{self.port}"


def write_state(data_dir: Path, state: BrokerState) -> None:
    """Write the state file, whole or not at all."""
    part = data_dir / f"{_FILE}.part"
    part.write_bytes(msgspec.json.encode(state))
    part.replace(data_dir / _FILE)


def read_state(data_dir: Path) -> BrokerState | None:
    """Return the broker that runs on a folder.

    None when none was started, or it runs no more, or the file cannot be read.
    """
    state = _read(data_dir)
    return state if state and is_running(state.pid, state.start_mark) else None


def forget_state(data_dir: Path, state: BrokerState) -> None:
    """Remove the state file, unless another broker wrote it since."""
    if _read(data_dir) == state:
        (data_dir / _FILE).unlink(missing_ok=True)


def _read(data_dir: Path) -> BrokerState | None:
    """Return what the state file says; None when it is not there or makes no sense."""
    try:
        return msgspec.json.decode((data_dir / _FILE).read_bytes(), type=BrokerState)
    except (OSError, msgspec.MsgspecError):
        return None
