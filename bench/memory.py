"""Peak memory of a worker that holds many waiting predictions: ``python -m bench.memory``."""

import argparse
import asyncio
import re
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.drain import bench_settings, start_worker
from bench.load import pairs, preload
from bench.servers import bench_broker
from streams.runtime.topics import create_topics


def peak_rss_mb(pid: int) -> float:
    """Return the peak resident memory of a process so far, MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found.group(1)) / 1000 if found else 0.0


async def measure(servers: str, count: int) -> float:
    """Let a worker take predictions without labels; return its peak memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        settings, environment = bench_settings(servers, Path(folder))
        topics = settings.topic_names
        partitions = settings.topics.partitions
        await create_topics(settings.broker, settings.declared_topics(), 1)
        await preload(
            servers, topics.predictions, partitions, (row[1] for row in pairs(count, seed=1))
        )
        worker = start_worker(environment, Path(folder) / "worker.log")
        consumer = AIOKafkaConsumer(
            bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False
        )
        await consumer.start()
        try:
            tps = [TopicPartition(topics.attribution_changelog, p) for p in range(partitions)]
            consumer.assign(tps)
            began = time.monotonic()
            while sum((await consumer.end_offsets(tps)).values()) < count:
                await asyncio.sleep(0.2)
                if worker.poll() is not None or time.monotonic() - began > 300:
                    raise RuntimeError("the worker did not take the predictions")
            # A few ticks more, so that the last micro-batches and compactions are in the figure.
            await asyncio.sleep(3)
            print(f"{count:,} waiting predictions after {time.monotonic() - began:.0f} s")
            return peak_rss_mb(worker.pid)
        finally:
            await consumer.stop()
            worker.terminate()
            await asyncio.to_thread(worker.wait, 30)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    options = parser.parse_args()
    with bench_broker() as servers:
        peak = asyncio.run(measure(servers, options.count))
    print(f"peak resident memory {peak:,.0f} MB")


if __name__ == "__main__":
    main()
