"""How long a worker takes from its start to its first decision: ``python -m bench.starting``.

A worker takes ``--count`` predictions without labels and ends by SIGTERM. For each partition of
the join a pair of a new route is then written: a prediction and its label. The clock runs from the
start of the next worker's process to the arrival of a pair's control message, no heartbeat, at a
read-committed consumer that was connected before: group, restore, join, learning and decision all
lie in between. ``first`` is the earliest of the routes, ``all`` the last, when every partition has
answered. In turn, the disk is kept, and the datadir is deleted before the start.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka import TopicPartition

from bench.restore import opened
from bench.rig.drain import bench_settings, start_worker
from bench.rig.filling import check, fill, reader, running_worker
from bench.rig.load import Keyed, preload
from bench.rig.servers import bench_broker
from bench.rig.turns import turn
from bench.rig.usage import resident_mb
from leverframe.agents.settings import Settings
from leverframe.schemas.codec import decoder, encode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.runtime.kafka import partition_of
from leverframe.streams.runtime.topic_admin import create_topics

__all__ = ["Start"]

_PATIENCE_S: Final = 120.0
GOALS_S: Final = {"kept": 5.0, "lost": 15.0}


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a worker.

    Attributes
    ----------
    disk : str
        ``kept`` or ``lost``.
    first_s, all_s : float
        From the process's start to the first route's control message, and to the last's.
    restore_s : float
        The slowest partition of the join, from its take-over to its open ledger.
    entries : int
        Restored from the changelog, of all partitions.
    peak_mb : int
        Resident memory.
    """

    disk: str
    first_s: float
    all_s: float
    restore_s: float
    entries: int
    peak_mb: int


def pair_of_each(settings: Settings, run: int) -> Iterator[tuple[str, Keyed, Keyed]]:
    """Yield a route with its one prediction and label, for each partition of the join."""
    wanted = set(range(settings.topics.partitions))
    number = 0
    while wanted:
        name = f"start-{run}-{number}"
        number += 1
        at = partition_of(name.encode(), settings.topics.partitions)
        if at not in wanted:
            continue
        wanted.remove(at)
        route, key = f"starts-{run}-{at}", name.encode()
        prediction = Prediction(
            request_id=name, route=route, arm="arm-0", prediction=1, propensity=0.5
        )
        yield route, (key, encode(prediction)), (key, encode(GroundTruth(request_id=name, label=1)))


async def start_once(
    settings: Settings, environment: dict[str, str], disk: str, run: int, log: Path
) -> Start:
    """Start a worker on what the one before left, and look until every partition has decided."""
    topics, servers = settings.topic_names, settings.broker.servers
    made = list(pair_of_each(settings, run))
    for topic, at in ((topics.predictions, 1), (topics.ground_truth, 2)):
        await preload(servers, topic, settings.topics.partitions, [one[at] for one in made])
    async with reader(settings, fetch_max_wait_ms=5) as consumer:
        tps = [TopicPartition(topics.control, at) for at in range(settings.topics.route_partitions)]
        consumer.assign(tps)
        await consumer.seek_to_end(*tps)
        for tp in tps:
            await consumer.position(tp)
        decode, waiting = decoder(ControlMessage), {one[0] for one in made}
        arrivals: list[float] = []
        began_s = time.monotonic()
        worker = start_worker(environment, log)
        try:
            while waiting:
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    for record in records:
                        message = decode(record.value)
                        if message.kind != "heartbeat" and message.route in waiting:
                            waiting.remove(message.route)
                            arrivals.append(time.monotonic() - began_s)
                check(worker, log, began_s, _PATIENCE_S)
            found = await opened(settings, log, worker)
            peak_mb = resident_mb(worker.pid)["peak"]
        finally:
            worker.terminate()
            await asyncio.to_thread(worker.wait, _PATIENCE_S)
    return Start(
        disk=disk,
        first_s=min(arrivals),
        all_s=max(arrivals),
        restore_s=max(seconds for _, seconds in found),
        entries=sum(entries for entries, _ in found),
        peak_mb=peak_mb,
    )


async def measure(servers: str, count: int, runs: int, lock: Path | None) -> list[Start]:
    """Fill a worker's state, then start others on it, with their disk and without."""
    starts: list[Start] = []
    with tempfile.TemporaryDirectory() as folder:
        datadir = Path(folder) / "data"
        settings, environment = bench_settings(servers, datadir)
        await create_topics(settings.broker, settings.declared_topics(), 1)
        log = Path(folder) / "filled.log"
        with turn(lock), running_worker(environment, log) as worker:
            await fill(settings, count, worker, log)
        for run in range(runs):
            for disk in GOALS_S:
                log = Path(folder) / f"{disk}-{run}.log"
                if disk == "lost":
                    shutil.rmtree(datadir)
                with turn(lock):
                    start = await start_once(
                        settings, environment, disk, 10 * run + (disk == "lost"), log
                    )
                if disk == "lost" and start.entries < count:
                    raise RuntimeError(f"{start.entries:,} entries restored of {count:,}")
                print(json.dumps(msgspec.to_builtins(start)), flush=True)
                starts.append(start)
    return starts


def summary(starts: list[Start], count: int) -> dict[str, Any]:
    """Return medians by what became of the disk.

    Examples
    --------
    >>> one = Start(disk="kept", first_s=2, all_s=3, restore_s=1, entries=4, peak_mb=9)
    >>> summary([one], 7)["kept"]["first_s"]
    2
    """
    fields = ("first_s", "all_s", "restore_s", "entries", "peak_mb")
    answer: dict[str, Any] = {"waiting": count}
    for disk in GOALS_S:
        of_disk = [one for one in starts if one.disk == disk]
        if of_disk:
            medians = {f: statistics.median(getattr(one, f) for one in of_disk) for f in fields}
            answer[disk] = medians | {"runs": len(of_disk)}
    return answer


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="waiting predictions")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write medians to this file")
    parser.add_argument("--lock", type=Path, help="file whose lock is held during a measurement")
    options = parser.parse_args()
    with bench_broker() as servers:
        starts = asyncio.run(measure(servers, options.count, options.runs, options.lock))
    known = summary(starts, options.count)
    for disk, goal_s in GOALS_S.items():
        of_disk = known[disk]
        print(
            f"{options.count:,} waiting, disk {disk}: first control message after "
            f"{of_disk['first_s']:.2f} s (goal: under {goal_s:.0f} s), one of every partition "
            f"after {of_disk['all_s']:.2f} s; {of_disk['entries']:,.0f} entries restored in "
            f"{of_disk['restore_s']:.2f} s; median of {of_disk['runs']}"
        )
    if options.json:
        options.json.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
