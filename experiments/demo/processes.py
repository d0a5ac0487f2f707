"""The processes of the demo: worker, model servers, label source; each ends with the demo."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from leverframe.agents.settings import Settings
from leverframe.experiments.demo.labels import label
from leverframe.experiments.demo.replica import ServerOptions, serve

__all__ = ["demo_broker", "running_servers", "running_worker"]

REPLICAS: Final = 2


def demo_broker(stack: ExitStack, folder: Path, say: Callable[[str], None], *, keep: bool) -> str:
    """Return the broker that the environment names, or start one."""
    given = os.environ.get("LEVERFRAME_BROKER")
    if given:
        say(f"using the broker at {given}")
        return given
    from leverframe.devbroker.assets import cache_root
    from leverframe.devbroker.broker import start_broker

    say("starting a real Apache Kafka (the first time its jars are downloaded, 45 MB)")
    running = start_broker(
        data_dir=folder / "broker", port=None, cache=cache_root(), report=say, detached=keep
    )
    if not keep:
        stack.callback(running.stop)
    return str(running.bootstrap)


@contextmanager
def running_worker(
    environment: dict[str, str], log: Path, *, keep: bool
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "leverframe.agents.cli.main", "worker"],
            env={**os.environ, **environment},
            stdout=out,
            stderr=out,
            start_new_session=keep,
        )
    try:
        yield process
    finally:
        if not keep:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def running_servers(
    context: Any,
    settings: Settings,
    route: str,
    seed: int,
    rate: float,
    broken: Any,
    stop: Any,
    places_off: int,
) -> Iterator[None]:
    """Run the model servers and the label source."""
    topics = settings.topic_names
    processes = []
    for replica in range(REPLICAS):
        server = ServerOptions(
            servers=settings.broker.servers,
            predictions=topics.predictions,
            ground_truth=topics.ground_truth,
            control=topics.control,
            acks=topics.control_acks,
            route=route,
            seed=seed,
            rate=rate,
            replica=replica,
            replicas=REPLICAS,
            places_off=places_off,
        )
        processes.append(context.Process(target=serve, args=(server, broken, stop), daemon=True))
    processes.append(context.Process(target=label, args=(server, stop), daemon=True))
    for process in processes:
        process.start()
    try:
        yield
    finally:
        stop.set()
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.kill()
