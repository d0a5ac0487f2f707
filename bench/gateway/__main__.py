"""What the gateway answers, how fast: ``python -m bench.gateway``.

A real broker, a real gateway pinned to one core, this client on the other. Control messages of
10,000 routes, each with two arms; heartbeats of all of them keep coming. Latency is from the time
at which a request was due (open loop), so that a stall shows in every request that it delayed.
"""

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import uvloop

from bench.gateway.beating import control, publish, settings_of
from bench.gateway.http import Connection, closed_loop, open_loop, request
from bench.rig.servers import looked_at_broker
from leverframe.agents.settings import Settings
from leverframe.schemas.control import ControlMessage
from leverframe.serving.subscriber import Subscriber
from leverframe.streams.runtime.topic_admin import create_topics

_FLAGS: Final = "/ofrep/v1/evaluate/flags"
_CONNECTIONS: Final = 16
_LABELS_A_REQUEST: Final = 20
_A_PART: Final = 500
_BEHIND: Final = 10


@contextmanager
def beating(servers: str, prefix: str, routes: int) -> Iterator[None]:
    """Keep every route heard meanwhile, from a process beside."""
    words = [sys.executable, "-m", "bench.gateway.beating", servers, prefix, str(routes)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        # It shares a core with this client, which must not wait for it.
        os.setpriority(os.PRIO_PROCESS, process.pid, _BEHIND)
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def gateway(servers: str, prefix: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Give the port and the pid of a gateway that answers, on the first core."""
    log = folder / "gateway.log"
    environment = {
        **os.environ,
        "LEVERFRAME_BROKER": servers,
        "LEVERFRAME_TOPICS__PREFIX": prefix,
        "LEVERFRAME_GATEWAY__PORT": "0",
    }
    command = [sys.executable, "-m", "leverframe.agents.cli.main", "gateway"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        os.sched_setaffinity(process.pid, {0})
        deadline = time.monotonic() + 120
        while b"answering on " not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text())
            time.sleep(0.05)
        address = log.read_text().partition("answering on ")[2].split()[0]
        yield int(address.rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.wait()


def keep_off(pid: int, niceness: int = 0) -> None:
    """Keep a process off the gateway's core, and behind others on its own."""
    others = os.sched_getaffinity(pid) - {0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), others)
            os.setpriority(os.PRIO_PROCESS, int(task.name), niceness)


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def evaluations(routes: int) -> list[bytes]:
    """Return requests, a different unit and route each."""
    return [
        request(
            f"{_FLAGS}/route-{number * 7919 % routes}",
            json.dumps({"context": {"targetingKey": f"user-{number}"}}).encode(),
        )
        for number in range(20_000)
    ]


def labels(count: int) -> list[bytes]:
    """Return requests of labels, a line each."""
    return [
        request(
            "/v1/labels",
            b"\n".join(
                b'{"request_id":"q-%d-%d","label":1}' % (number, at)
                for at in range(_LABELS_A_REQUEST)
            ),
            "application/x-ndjson",
        )
        for number in range(count)
    ]


def told(took: "np.ndarray") -> dict[str, float]:
    """Return quantiles in ms."""
    names = {"p50": 50, "p99": 99, "p99.9": 99.9}
    found = {name: round(float(np.percentile(took, at)), 2) for name, at in names.items()}
    # Where other work shares the machine, whole seconds are lost to it: the quietest tells ours.
    parts = np.array_split(took, max(1, len(took) // _A_PART))
    seconds = sorted(float(np.percentile(part, 99)) for part in parts)
    found["p99 of the best part"] = round(seconds[0], 2)
    found["p99 of the median part"] = round(seconds[len(seconds) // 2], 2)
    return {**found, "max": round(float(took.max()), 1)}


async def pushes(settings: Settings, port: int, count: int) -> dict[str, Any]:
    """Return how long after our own subscriber's callback a stream tells of a rollback, in ms."""
    applied: dict[int, float] = {}
    pushed: list[float] = []

    def on_rollback(message: ControlMessage) -> None:
        applied[message.epoch] = time.perf_counter()

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /ofrep/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    subscriber = Subscriber(
        settings.broker.servers, control=settings.topic_names.control, on_rollback=on_rollback
    )
    sent: list[float] = []
    async with subscriber:
        while b"data: " not in await reader.readline():
            pass
        for epoch in range(2, 2 + count):
            message = control(0, 1_000_000 + epoch, kind="rollback", epoch=epoch)
            began = time.perf_counter()
            await publish(settings, [message])
            while b"data: " not in await reader.readline():
                pass
            now = time.perf_counter()
            while epoch not in applied:
                await asyncio.sleep(0.001)
            pushed.append((now - applied[epoch]) * 1000)
            sent.append((now - began) * 1000)
    writer.close()
    return {
        "after_subscriber_ms": {
            "median": round(statistics.median(pushed), 1),
            **told(np.array(pushed)),
        },
        "after_publishing_ms": told(np.array(sent)),
    }


async def measure(servers: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return all figures."""
    prefix = f"gateway-{os.getpid()}-"
    settings = settings_of(servers, prefix)
    await create_topics(settings.broker, settings.declared_topics(), 1)
    await publish(settings, [control(route, 1) for route in range(options.routes)])
    found: dict[str, Any] = {"routes": options.routes}
    with gateway(servers, prefix, folder) as (port, pid):
        connections = [await Connection.open("127.0.0.1", port) for _ in range(_CONNECTIONS)]
        asked = evaluations(options.routes)
        gc.freeze()
        gc.disable()  # what is measured is not this client
        await closed_loop(connections, asked, 5.0)  # warm, as is the broker then
        found["quiet: p at rate"] = await rated(connections, asked, options, pid)
        with beating(servers, prefix, options.routes):
            found["heartbeats: p at rate"] = await rated(connections, asked, options, pid)
            most, statuses = await closed_loop(connections, asked, options.seconds)
        found["most"] = {"per_s": round(most), "statuses": sorted(statuses)}
        found["bulk"] = await bulk(connections[0])
        batches = labels(int(options.labels / _LABELS_A_REQUEST * options.seconds))
        before = cpu_s(pid)
        took, statuses = await open_loop(
            connections, batches, options.labels / _LABELS_A_REQUEST, options.seconds
        )
        found["labels"] = {
            "per_s": options.labels,
            "a_request": _LABELS_A_REQUEST,
            **told(took),
            "core": round((cpu_s(pid) - before) / options.seconds, 2),
            "statuses": sorted(statuses),
        }
        single = [
            request("/v1/labels", b'{"request_id":"s-%d","label":1}' % n) for n in range(50_000)
        ]
        wide = [await Connection.open("127.0.0.1", port) for _ in range(128)]
        most, statuses = await closed_loop(wide, single, options.seconds)
        found["labels, one a request"] = {"per_s": round(most), "statuses": sorted(statuses)}
        most, statuses = await closed_loop(connections, batches, options.seconds)
        found["labels, most"] = {
            "per_s": round(most * _LABELS_A_REQUEST),
            "statuses": sorted(statuses),
        }
        found["push"] = await pushes(settings, port, options.pushes)
        for connection in (*connections, *wide):
            connection.close()
    return found


async def rated(
    connections: list[Connection], asked: list[bytes], options: argparse.Namespace, pid: int
) -> dict[str, Any]:
    """Return latencies at the rate that was asked for, and what of a core they took."""
    before = cpu_s(pid)
    took, statuses = await open_loop(connections, asked, options.rate, options.seconds)
    core = round((cpu_s(pid) - before) / options.seconds, 2)
    return {"per_s": options.rate, **told(took), "core": core, "statuses": sorted(statuses)}


async def bulk(connection: Connection) -> dict[str, Any]:
    """Return how long all flags of one unit take, whole and as not modified."""
    whole, known = [], []
    for number in range(10):
        body = json.dumps({"context": {"targetingKey": f"user-{number}"}}).encode()
        began = time.perf_counter()
        _, size = await connection.send(request(_FLAGS, body))
        whole.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        status, _ = await connection.send(request(_FLAGS, body, if_none_match="*"))
        known.append((time.perf_counter() - began) * 1000)
    return {
        "ms": round(statistics.median(whole), 1),
        "bytes": size,
        "not_modified_ms": round(statistics.median(known), 2),
        "status": status,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=2000, help="evaluations a second")
    parser.add_argument("--labels", type=float, default=3000, help="labels a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each part")
    parser.add_argument(
        "--apart", action="store_true", help="the broker, too, is kept off the gateway's core"
    )
    parser.add_argument("--pushes", type=int, default=50, help="rollbacks")
    options = parser.parse_args()
    with looked_at_broker() as broker, tempfile.TemporaryDirectory() as folder:
        if len(os.sched_getaffinity(0)) > 1:
            keep_off(os.getpid())
            if options.apart and broker.pid is not None:
                keep_off(broker.pid, niceness=_BEHIND)
        found = uvloop.run(measure(broker.servers, options, Path(folder)))
    for name, figures in found.items():
        print(f"{name:24}", json.dumps(figures))


if __name__ == "__main__":
    main()
