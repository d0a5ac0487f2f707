"""The broker that a bench runs against."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from leverframe.devbroker.assets import cache_root
from leverframe.devbroker.broker import start_broker

__all__ = ["BenchBroker", "bench_broker", "looked_at_broker"]


class BenchBroker(Struct, frozen=True, kw_only=True):
    """A broker, and what of it can be looked at from here.

    Attributes
    ----------
    servers : str
        Bootstrap servers.
    pid : int, optional
        Of its process; None where another machine or user may run it.
    folder : Path, optional
        Of its logs, one folder for each partition; None as for ``pid``.
    """

    servers: str
    pid: int | None = None
    folder: Path | None = None


@contextmanager
def looked_at_broker() -> Iterator[BenchBroker]:
    """Give a broker: ``LEVERFRAME_BROKER``, else a development broker of its own."""
    given = os.environ.get("LEVERFRAME_BROKER")
    if given:
        yield BenchBroker(servers=given)
        return
    with tempfile.TemporaryDirectory(prefix="leverframe-bench-") as folder:
        running = start_broker(
            data_dir=Path(folder),
            port=None,
            heap_mb=768,
            cache=cache_root(),
            report=lambda line: print(line, file=sys.stderr),
            detached=False,
        )
        try:
            yield BenchBroker(servers=running.bootstrap, pid=running.pid, folder=Path(folder))
        finally:
            running.stop()


@contextmanager
def bench_broker() -> Iterator[str]:
    """Give bootstrap servers: ``LEVERFRAME_BROKER``, else a development broker of its own."""
    with looked_at_broker() as broker:
        yield broker.servers
