"""Three brokers with replication 3; workers reach them through proxies, everybody else directly."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient

from drills.proxy import Proxy, proxied
from leverframe.devbroker.assets import cache_root, java_executable, kafka_classpath
from leverframe.devbroker.configuration import Listener
from leverframe.devbroker.launch import Launch, new_cluster_id
from leverframe.devbroker.ports import free_ports
from leverframe.devbroker.processes import is_running, terminate
from leverframe.devbroker.state import BrokerState

__all__ = ["Cluster", "three_brokers"]

_NODES: Final = 3
_PROPERTIES: Final = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "group.min.session.timeout.ms": "1000",
    # A dead broker is noticed in seconds, as a drill has no minutes.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "replica.lag.time.max.ms": "3000",
    # A node that came back leads again soon: leaders move without anything being down.
    "leader.imbalance.check.interval.seconds": "5",
}


@dataclass
class Node:
    """One broker.

    Attributes
    ----------
    launch : Launch
        How it is started, again and again on its own data.
    ports : tuple of int
        For clients, its controller, and workers.
    state : BrokerState or None
        Of its process.
    """

    launch: Launch
    ports: tuple[int, int, int]
    state: BrokerState | None = None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self.state = await asyncio.to_thread(self.launch.start, self.ports[0], self.ports[1])

    async def stop(self, *, is_kill: bool) -> None:
        """End it: by ``kill -9``, or in good order, its leaderships handed over."""
        state = self.state
        if state is None:
            return
        if is_kill and is_running(state.pid, state.start_mark):
            os.kill(state.pid, signal.SIGKILL)
        await asyncio.to_thread(terminate, state.pid, state.start_mark, 30)
        self.state = None


@dataclass
class Cluster:
    """The brokers and what stands before them.

    Attributes
    ----------
    nodes : list of Node
        Three.
    proxies : list of Proxy
        One for each, for workers.
    """

    nodes: list[Node]
    proxies: list[Proxy]

    @property
    def servers(self) -> str:
        """Bootstrap servers, directly."""
        return ",".join(f"127.0.0.1:{node.ports[0]}" for node in self.nodes)

    @property
    def worker_servers(self) -> str:
        """Bootstrap servers, through the proxies."""
        return ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies)

    async def leaders(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        """Return which node leads each partition now."""
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            described = await admin.describe_topics(list(topics))
        finally:
            await admin.close()
        return {
            (topic["topic"], part["partition"]): part["leader"]
            for topic in described
            for part in topic["partitions"]
        }


@asynccontextmanager
async def three_brokers(folder: Path, report: Callable[[str], None]) -> AsyncIterator[Cluster]:
    """Give a running cluster; its processes end when it is left."""
    flat = free_ports(3 * _NODES)
    ports = [(flat[3 * at], flat[3 * at + 1], flat[3 * at + 2]) for at in range(_NODES)]
    java, classpath = java_executable(), kafka_classpath(cache_root(), report)
    cluster_id = new_cluster_id()
    voters = (f"{at + 1}@127.0.0.1:{each[1]}" for at, each in enumerate(ports))
    quorum = {"controller.quorum.voters": ",".join(voters)}
    async with proxied([each[2] for each in ports]) as proxies:
        nodes = []
        for at, proxy in enumerate(proxies):
            data_dir = (folder / f"broker-{at + 1}").absolute()
            data_dir.mkdir(parents=True)
            workers = Listener(
                name="WORKERS",
                protocol="PLAINTEXT",
                port=ports[at][2],
                advertised_port=proxy.port,
            )
            launch = Launch(
                data_dir=data_dir,
                java=java,
                classpath=classpath,
                heap_mb=384,
                extra_properties={**_PROPERTIES, **quorum, "node.id": str(at + 1)},
                listeners=[workers],
                detached=True,
                cluster_id=cluster_id,
            )
            nodes.append(Node(launch, ports[at]))
        try:
            await asyncio.gather(*(node.start() for node in nodes))
            yield Cluster(nodes, proxies)
        finally:
            for node in nodes:
                await node.stop(is_kill=True)
