"""A worker of ours with topics of its own, for benches that look at nobody else."""

import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

from leverframe.agents.settings import Settings, load_settings


def bench_settings(
    servers: str, datadir: Path, **overrides: str
) -> tuple[Settings, dict[str, str]]:
    """Return settings of a fresh application with its own topics, and them as environment."""
    environment = {
        "LEVERFRAME_BROKER": servers,
        "LEVERFRAME_TOPICS__PREFIX": f"b{uuid.uuid4().hex[:6]}-",
        "LEVERFRAME_APP__DATADIR": str(datadir),
        "LEVERFRAME_APP__LOG_LEVEL": "info",
        **overrides,
    }
    return load_settings(None, environment), environment


def start_worker(environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a worker process."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "leverframe.agents.cli.main", "worker"],
            env={**os.environ, **environment},
            stdout=out,
            stderr=out,
        )
