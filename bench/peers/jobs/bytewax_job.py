"""The job of the contender ``bytewax``: run by an interpreter that has bytewax and orjson."""

# Run by an interpreter of its own, with packages that ours does not have.
# mypy: disable-error-code="import-not-found"

from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import orjson
from arguments import read_arguments
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from confluent_kafka import OFFSET_BEGINNING

Half: TypeAlias = dict[str, Any]


def decode(message: Any) -> tuple[str, Half]:
    """Key a half of a pair by its request."""
    half = orjson.loads(message.value)
    return half["request_id"], half


def reward(keyed: tuple[str, tuple[Half, Half]]) -> tuple[str, Half]:
    """Turn a pair into a reward, keyed by route and arm."""
    prediction, label = keyed[1]
    return f"{prediction['route']}/{prediction['arm']}", {
        "request_id": prediction["request_id"],
        "route": prediction["route"],
        "arm": prediction["arm"],
        "reward": 1.0 if prediction["prediction"] == label["label"] else 0.0,
        "propensity": prediction["propensity"],
    }


def count(totals: Half | None, one: Half) -> tuple[Half, Half]:
    """Add a reward to its arm's totals."""
    known = totals or {"count": 0, "sum": 0.0}
    known = {"count": known["count"] + 1, "sum": known["sum"] + one["reward"]}
    return known, known


def message(keyed: tuple[str, Half]) -> Any:
    """Encode what goes to Kafka."""
    return KafkaSinkMessage(keyed[0].encode(), orjson.dumps(keyed[1]))


def build() -> Any:
    """Two inputs, a join, and totals of each arm."""
    job = read_arguments()
    brokers = [job.servers]
    flow = Dataflow("peer")
    halves = []
    for topic in (job.predictions, job.labels):
        source = KafkaSource(brokers, [topic], starting_offset=OFFSET_BEGINNING, batch_size=5000)
        halves.append(op.map(f"decode-{topic}", op.input(topic, flow, source), decode))
    rewards = op.map("reward", op.join("join", *halves), reward)
    settings = {"linger.ms": "50", "batch.size": str(1 << 20)}
    encoded = op.map("encode-rewards", rewards, message)
    kop.output("rewards", encoded, brokers=brokers, topic=job.rewards, add_config=settings)
    totals = op.stateful_map("totals", rewards, count)
    encoded = op.map("encode-totals", totals, message)
    kop.output("aggregates", encoded, brokers=brokers, topic=job.aggregates, add_config=settings)
    return flow


if __name__ == "__main__":
    folder = Path(read_arguments().folder) / "recovery"
    folder.mkdir()
    init_db_dir(folder, 1)
    cli_main(
        build(),
        epoch_interval=timedelta(seconds=1),
        recovery_config=RecoveryConfig(str(folder)),
    )
