"""The broker that a bench runs against."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def bench_broker() -> Iterator[str]:
    """Give bootstrap servers: ``LEVERFRAME_BROKER``, else a development broker of its own."""
    given = os.environ.get("LEVERFRAME_BROKER")
    if given:
        yield given
        return
    from agents.devbroker.assets import cache_root
    from agents.devbroker.broker import start_broker

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
            yield running.bootstrap
        finally:
            running.stop()
