"""What following costs a serving process: ``python -m bench.serving``.

The time of one ``assign``; and of a fresh process that subscribes to 10,000 routes, the seconds
until it is ready and its peak memory.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
import timeit
import uuid
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer

from bench.rig.servers import bench_broker
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.serving.assigner import Assigner
from leverframe.serving.subscriber import Subscriber

_ROUNDS: Final = 15
_CALLS: Final = 20_000


def message_of(route: str) -> ControlMessage:
    """A message as the job sends it: three arms, with evidence."""
    weights = {"model-1": 0.55, "model-2": 0.4, "model-3": 0.05}
    arms = {arm: {"phase": "candidate", "labels": 12_345, "mean": 0.912345} for arm in weights}
    return ControlMessage(
        route=route,
        epoch=2,
        seq=345,
        kind="heartbeat",
        weights=weights,
        champion="model-1",
        safe_weights={"model-1": 1.0},
        ttl_ms=3_600_000,
        issued_at_ms=time.time_ns() // 1_000_000,
        salt=uuid.uuid4().hex[:16],
        cause={"why": "heartbeat", "arms": arms},
        state_digest="0123456789abcdef",
    )


def assign_us(arms: int) -> float:
    """Return the median time of one assignment, microseconds."""
    assigner = Assigner({f"arm-{i}": 1 / arms for i in range(arms)}, "5a17")
    ids = [f"request-{i}" for i in range(_CALLS)]

    def run() -> None:
        for unit in ids:
            assigner.assign(unit)

    return statistics.median(timeit.repeat(run, number=1, repeat=_ROUNDS)) / _CALLS * 1e6


def peak_mb() -> float:
    """Return this process's peak memory; ``getrusage`` would count its parent's before it began."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def publish(servers: str, topic: str, routes: int) -> None:
    """Write one control message for each route."""
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for i in range(routes):
            route = f"route-{i}"
            await producer.send(topic, encode(message_of(route)), key=route.encode())


async def follow(servers: str, topic: str) -> dict[str, float]:
    """Subscribe in this process; say how long it took and what it needed."""
    began = time.monotonic()
    async with Subscriber(servers, control=topic) as routing:
        ready_s = time.monotonic() - began
        for route in routing.table.routes:
            routing.assign(route, "unit")
        return {
            "routes": len(list(routing.table.routes)),
            "ready_s": ready_s,
            "peak_mb": peak_mb(),
        }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--follow", nargs=2, metavar=("SERVERS", "TOPIC"), help="used by itself")
    options = parser.parse_args()
    if options.follow:
        print(json.dumps(asyncio.run(follow(*options.follow))))
        return
    # Imported here: what follows is to hold in memory only what a serving process holds.
    from leverframe.agents.settings import load_settings
    from leverframe.streams.runtime.topic_admin import create_topics

    for arms in (2, 10):
        print(f"assign, {arms} arms: {assign_us(arms):.2f} us")
    with bench_broker() as servers:
        prefix = f"s{uuid.uuid4().hex[:6]}-"
        settings = load_settings(
            None, {"LEVERFRAME_BROKER": servers, "LEVERFRAME_TOPICS__PREFIX": prefix}
        )
        topic = settings.topic_names.control
        asyncio.run(create_topics(settings.broker, settings.declared_topics(), 1))
        asyncio.run(publish(servers, topic, options.routes))
        for _ in range(3):
            command = [sys.executable, "-m", "bench.serving", "--follow", servers, topic]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seen = json.loads(done.stdout)
            print(
                f"{seen['routes']:,} routes: ready in {seen['ready_s']:.2f} s, "
                f"peak memory {seen['peak_mb']:.0f} MB"
            )


if __name__ == "__main__":
    main()
