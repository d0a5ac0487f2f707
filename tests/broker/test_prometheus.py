"""A real Prometheus scrapes a real worker and judges our rules and panels."""

import asyncio
import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from alerting import PROMETHEUS, board_expressions, tool
from harness import Deployment, Script, produce, wait_for_rewards
from patience import PATIENCE_S, until

from leverframe.devbroker.ports import free_ports

pytestmark = pytest.mark.broker

PAIRS = 900
# A busy machine is no reason to call the job silent, or to share the partitions again, which loses
# counts that were not yet told.
QUIETLY = {"LEVERFRAME_ROUTES__*__TTL_S": "6", "LEVERFRAME_APP__SESSION_TIMEOUT_S": "60"}
# Nobody acknowledges, measures or answers in shadow, nothing waits or is wrong: these stay empty.
EMPTY = {
    "Alerts A",
    "Better than the champion on them A",
    "Evidence against A",
    "Labels in shadow A",
    "Means and quantiles A",
    "Means and quantiles B",
    "Oldest that waits A",
    "Probations",
    "Ramps",
    "Ramps that wait",
    "Promotions and rollbacks",
    "Rollbacks and promotions, by cause A",
    "Rollbacks and promotions, by cause B",
    "Replicas A",
    "Requests measured A",
    "Requests that arm and champion both answered A",
    "Set aside, and labels without a prediction B",
}


class Prometheus:
    """One process with a folder of its own."""

    def __init__(self, folder: Path, worker_port: int) -> None:
        (port,) = free_ports(1)
        self._base = f"http://127.0.0.1:{port}/api/v1/"
        folder.mkdir()
        shutil.copy(PROMETHEUS / "alerts.yml", folder)
        settings = (PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")
        settings = settings.replace("worker:6066", f"127.0.0.1:{worker_port}")
        (folder / "prometheus.yml").write_text(settings.replace("interval: 5s", "interval: 1s"))
        self._log = folder / "prometheus.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    tool("prometheus"),
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=log,
            )

    def ask(self, path: str, **query: str) -> Any:
        """Return the data of an answer; None until it listens."""
        address = f"{self._base}{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:  # noqa: S310 - our own
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                pytest.fail(f"{query or path}: {error.read().decode()}")
        except OSError:
            assert self.process.poll() is None, self._log.read_text()
            return None

    def value(self, expression: str) -> float | None:
        """The one value of an expression, if it has one."""
        found = (self.ask("query", query=expression) or {}).get("result")
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> dict[str, str]:
        """Alerts that are on, with their states."""
        return {
            alert["labels"]["alertname"]: alert["state"] for alert in self.ask("alerts")["alerts"]
        }

    def rules(self) -> list[Any]:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[int], Prometheus]]:
    """Give a function that starts one; it ends with the test."""
    tool("prometheus")
    started: list[Prometheus] = []

    def start(worker_port: int) -> Prometheus:
        started.append(Prometheus(tmp_path / "prometheus", worker_port))
        return started[-1]

    yield start
    for one in started:
        one.process.terminate()
        one.process.wait(PATIENCE_S)


async def poison(deployment: Deployment) -> None:
    """Send something that is no prediction."""
    settings = deployment.settings
    async with AIOKafkaProducer(bootstrap_servers=settings.broker.servers) as producer:
        await producer.send_and_wait(settings.topic_names.predictions, b"not JSON", b"poison")


def test_rules_and_panels_work_on_what_a_worker_exports(
    deploy: Callable[..., Any], prometheus: Callable[[int], Prometheus]
) -> None:
    """No expression fails, panels show something; poison and a kill fire their alerts alone."""
    (port,) = free_ports(1)

    async def scenario() -> Deployment:
        deployment: Deployment = await deploy(LEVERFRAME_APP__WEB_PORT=str(port), **QUIETLY)
        deployment.start()
        script = Script(seed=6, pairs=PAIRS, routes=2)
        judge.append(prometheus(port))
        await produce(deployment, script, per_second=300)
        assert len(await wait_for_rewards(deployment, PAIRS)) == PAIRS
        return deployment

    judge: list[Prometheus] = []
    deployment = asyncio.run(scenario())
    (it,) = judge
    counted = 'sum(leverframe_join_events_total{what="labelled"})'
    until(lambda: it.value(counted) == PAIRS, lambda: it.value(counted))
    until(lambda: all(rule["health"] == "ok" for rule in it.rules()), it.rules)
    assert len(it.rules()) > 10
    assert not it.firing()
    expressions = board_expressions()
    unseen = set(expressions) - EMPTY
    asyncio.run(poison(deployment))

    def look() -> bool:
        """A rate is over when its minute is, so a panel counts that has shown something once."""
        unseen.difference_update(
            [title for title in unseen if it.value(expressions[title]) is not None]
        )
        return not unseen

    until(look, lambda: unseen)
    assert it.value(expressions["Routes A"]) == 2
    assert it.value(expressions["Routes on safe weights A"]) == 0

    until(lambda: "LeverframeDeadLetters" in it.firing(), it.firing)
    assert it.value('leverframe_dead_letters_total{reason="unreadable"}') == 1

    deployment.stop_all()
    fires = "LeverframeHeartbeatTooOld"
    until(lambda: it.firing().get(fires) == "firing", it.firing)
    assert it.firing()["LeverframeWorkerDown"] == "pending"
    assert it.value(expressions["Routes on safe weights A"]) == 2
