"""The files that Kafka reads: its properties and how it logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from leverframe.devbroker.ports import HOST

__all__ = ["LOG_SETTINGS", "Listener", "server_properties", "write_properties"]

_PROTOCOLS: Final = "listener.security.protocol.map"
_PROPERTIES: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    _PROTOCOLS: "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # a topic that nobody declared is a mistake, not a wish
    "auto.create.topics.enable": "false",
    # one node: nothing can be replicated
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # the defaults of 50 partitions each cost seconds at the first commit and transaction
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.num.partitions": "1",
    # long enough for the processes of one worker to join together, 3 s by default
    "group.initial.rebalance.delay.ms": "200",
    # 128 MB of the heap by default
    "log.cleaner.dedupe.buffer.size": "33554432",
}

LOG_SETTINGS: Final = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c{1})%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = INFO
logger.broker.name = kafka.server.BrokerServer
logger.broker.level = INFO
"""
"""How log4j2 writes what matters to standard output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One more way into the broker, beside the plain one.

    Attributes
    ----------
    name : str
        In capitals; names its properties.
    protocol : str
        Such as ``SASL_SSL``.
    port : int
        On the loopback address.
    advertised_port : int
        The port that clients are told; ``port`` when 0.
    properties : mapping
        Its own Kafka properties, such as ``ssl.keystore.location``, without its prefix.
    """

    name: str
    protocol: str
    port: int
    advertised_port: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)


def server_properties(
    *,
    port: int,
    controller_port: int,
    log_dir: Path,
    extra: Mapping[str, str],
    listeners: Sequence[Listener] = (),
) -> Mapping[str, str]:
    """Return the properties of a broker that is its own controller, reachable on loopback only."""
    plain = f"PLAINTEXT://{HOST}:{port}"
    more = [f"{each.name}://{HOST}:{each.port}" for each in listeners]
    told = [f"{each.name}://{HOST}:{each.advertised_port or each.port}" for each in listeners]
    protocols = [f"{each.name}:{each.protocol}" for each in listeners]
    return {
        **_PROPERTIES,
        **{
            f"listener.name.{each.name.lower()}.{name}": value
            for each in listeners
            for name, value in each.properties.items()
        },
        "listeners": ",".join([plain, f"CONTROLLER://{HOST}:{controller_port}", *more]),
        "advertised.listeners": ",".join([plain, *told]),
        _PROTOCOLS: ",".join([_PROPERTIES[_PROTOCOLS], *protocols]),
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "log.dirs": str(log_dir),
        **extra,
    }


def write_properties(path: Path, properties: Mapping[str, str]) -> None:
    """Write a Java properties file."""

    def escape(value: str) -> str:
        return value.replace("\\", "\\\\").replace("\n", "\\n")

    lines = (f"{name}={escape(value)}\n" for name, value in sorted(properties.items()))
    path.write_text("".join(lines), encoding="utf-8")
