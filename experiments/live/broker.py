"""Which broker a live experiment uses, known before models and data are loaded."""

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from leverframe.agents.operator.preflight import require
from leverframe.agents.settings import load_settings

__all__ = ["given_broker", "start_own"]


def given_broker() -> str | None:
    """Return the user's broker, once it has answered; None where none is named.

    Raises ``LeverframeError`` where it does not answer.
    """
    given = os.environ.get("LEVERFRAME_BROKER")
    if given:
        asyncio.run(require(load_settings(None, {"LEVERFRAME_BROKER": given}), ()))
    return given or None


def start_own(stack: ExitStack, folder: Path, say: Callable[[str], None]) -> str:
    """Start a broker that ends with the stack; return its address."""
    from leverframe.devbroker.assets import cache_root
    from leverframe.devbroker.broker import start_broker

    say("starting a real Apache Kafka (the first time its jars are downloaded, 45 MB)")
    running = start_broker(
        data_dir=folder / "broker", port=None, cache=cache_root(), report=say, detached=False
    )
    stack.callback(running.stop)
    return str(running.bootstrap)
