"""Kafka Streams as a contender, tuned as its documentation and memory guide say."""

from typing import Final

from bench.peers.contender import Contender, Job, Launcher, Program, Report
from bench.peers.kafka_streams.jars import java_command

__all__ = ["STREAMS", "streams"]

SETTINGS: Final = {
    # Caching on, larger batches and buffers. Tried and left as they are by default, since they made
    # no difference beyond noise or cost some: lz4, linger of 10 ms, polls of 10,000, serial GC.
    "topology.optimization": "all",
    "statestore.cache.max.bytes": str(128 << 20),
    "consumer.max.partition.fetch.bytes": str(4 << 20),
    "consumer.receive.buffer.bytes": str(1 << 20),
    "producer.batch.size": str(256 << 10),
    "producer.buffer.memory": str(128 << 20),
    "producer.linger.ms": "100",
    "consumer.auto.offset.reset": "earliest",
    "replication.factor": "1",
}
JAVA: Final = ["-Xms1g", "-Xmx1g", "-XX:+UseParallelGC"]


def streams(name: str, guarantee: str, threads: int, **settings: str) -> Contender:
    """Return a contender.

    Stream-stream join of an hour on RocksDB, then count and sum for each arm, with caching.
    """
    own = {key.replace("_", "."): value for key, value in settings.items()}

    def prepare(report: Report) -> Launcher:
        command = java_command(report)

        def launch(job: Job) -> Program:
            wanted = {
                **SETTINGS,
                "application.id": job.name,
                "bootstrap.servers": job.servers,
                "state.dir": str(job.folder),
                "processing.guarantee": guarantee,
                "num.stream.threads": str(threads),
                **own,
                "predictions": job.predictions,
                "labels": job.labels,
                "rewards": job.rewards,
                "aggregates": job.aggregates,
            }
            arguments = [f"{key}={value}" for key, value in wanted.items()]
            return Program(argv=[command[0], *JAVA, *command[1:], "Peer", *arguments])

        return launch

    return Contender(
        name=name,
        what="Kafka Streams 4.3, join and totals on RocksDB, "
        + ", ".join([guarantee, f"threads {threads}", *(f"{k} {v}" for k, v in own.items())]),
        prepare=prepare,
    )


STREAMS: Final = (
    streams("streams-eos", "exactly_once_v2", 2),
    streams("streams-eos-1", "exactly_once_v2", 1),
    # By default at-least-once commits, and shows cached totals, every 30 s.
    streams("streams-alo", "at_least_once", 2, commit_interval_ms="1000"),
    streams("streams-alo-1", "at_least_once", 1, commit_interval_ms="1000"),
)
