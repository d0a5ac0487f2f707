"""The example serving systems beside a real broker and a real worker, each in its own process."""

import asyncio
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from harness import Deployment, control_messages, read_all, wait_for_count
from patience import PATIENCE_S, until

from leverframe.agents.operator.commands import ask
from leverframe.schemas.codec import decode, encode
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlAck
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
ROUTE = "biopsy"
KEY = "a key of the tests"
# A new arm gets a quarter for good, so that 60 answers show whether it is served.
SETTINGS = {
    "LEVERFRAME_ROUTES__BIOPSY__NURSERY_SHARE": "0.25",
    "LEVERFRAME_ROUTES__BIOPSY__NURSERY_LABELS": "100000",
}
# Of our processes, once they run: how long Python takes to start is not ours.
PROMPTLY_S = 5.0
# A worker on a busy machine is late with its heartbeats, and not frozen.
TTL_S = 6


def python(deployment: Deployment, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """Start ``python -m``, as somebody in another terminal would."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **deployment.environment},
        text=True,
        **options,
    )


class Server:
    """The model server in a process of its own, on a port that the system chose."""

    def __init__(self, deployment: Deployment) -> None:
        self._log = deployment.folder / "model-server.log"
        command = ("uvicorn", "examples.model_server:app", "--port", "0")
        with self._log.open("ab") as log:
            self.process = python(deployment, *command, stdout=log, stderr=log)
        self._base = until(self._announced, "the server listens")[1]

    def _announced(self) -> re.Match[str] | None:
        assert self.process.poll() is None, self.log
        return re.search(r"running on (http://127\.0\.0\.1:\d+)", self.log)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def call(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and answer of a request; a POST if it has a body."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self._base + path, data, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def routing(self) -> Any:
        status, routing = self.call(f"/routing/{ROUTE}")
        return routing if status == 200 else {"weights": {}}

    def predict(self, count: int) -> list[Any]:
        """Ask about the first rows, several at once; return the answers in their order."""

        def one(features: list[float]) -> Any:
            status, answer = self.call(f"/predict/{ROUTE}", {"features": features})
            assert status == 200, answer
            return answer

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(one, biopsies()[0][:count]))

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()


@pytest.fixture
def serve() -> Iterator[Callable[[Deployment], Server]]:
    """Give a function that starts the model server; it ends with the test."""
    servers: list[Server] = []

    def start(deployment: Deployment) -> Server:
        servers.append(Server(deployment))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Give a function that records what was measured, for the report and for ``pytest -s``."""

    def record(**values: float) -> None:
        for name, value in values.items():
            record_property(name, round(value, 3))
            print(f"{name}: {value:.3f}")

    return record


def biopsies() -> tuple[list[list[float]], list[int]]:
    from examples.models import load_data

    return load_data()


async def register(deployment: Deployment, *arms: str) -> dict[str, float]:
    """Register arms and return the weights."""
    who = {"params": None, "actor": "test", "timeout_s": PATIENCE_S}
    for arm in arms:
        await ask(deployment.settings, ROUTE, "register_arm", arm=arm, **who)  # type: ignore[arg-type]
    return (await control_messages(deployment))[ROUTE][-1].weights


def records(deployment: Deployment, topic: str, kind: Any) -> list[Any]:
    topics, servers = deployment.settings.topics, deployment.settings.broker.servers
    partitions = topics.partitions if topic == "predictions" else topics.route_partitions
    found = asyncio.run(read_all(servers, topics.prefix + topic, partitions))
    return [decode(kind, record.value) for record in found]


def test_predictions_over_http_are_rewarded(
    deploy: Callable[..., Any], serve: Callable[[Deployment], Server]
) -> None:
    """What is answered over HTTP is on ``predictions``, and labels for it are counted by arm."""
    deployment = asyncio.run(deploy(**SETTINGS))
    deployment.start()
    server = serve(deployment)
    assert server.call(f"/routing/{ROUTE}")[0] == 404
    assert server.call(f"/predict/{ROUTE}", {"features": [1, 2, 3, 4]})[0] == 404
    # The last arm was registered before anybody deployed its model: the champion answers for it.
    weights = asyncio.run(register(deployment, "v1", "v2", "v3", "v9"))
    until(lambda: server.routing()["weights"] == weights, "four arms")
    assert server.call(f"/predict/{ROUTE}", {"features": [1, 2, 3]})[0] == 422
    answers = server.predict(300)
    by_arm = Counter(answer["arm"] for answer in answers)
    assert by_arm.keys() == {"v1", "v2", "v3"}
    chances = {arm: weights[arm] for arm in by_arm} | {"v1": weights["v1"] + weights["v9"]}
    assert {a["arm"]: a["propensity"] for a in answers} == pytest.approx(chances)
    question = {"features": [1, 2, 3, 4], "unit_id": "user-7"}
    arms = {server.call(f"/predict/{ROUTE}", question)[1]["arm"] for _ in range(5)}
    assert len(arms) == 1, "a unit keeps its arm"

    server.stop()  # which sends what is left
    sent = {one.request_id: one for one in records(deployment, "predictions", Prediction)}
    assert len(sent) == 305
    for answer in answers:
        record = sent[answer["request_id"]]
        assert {name: getattr(record, name) for name in answer} == answer
        assert (record.route, record.epoch) == (ROUTE, 0)
        assert record.seq is not None
        assert record.predicted_at_ms is not None

    async def label() -> None:
        settings = deployment.settings
        async with AIOKafkaProducer(bootstrap_servers=settings.broker.servers) as producer:
            for answer, truth in zip(answers, biopsies()[1], strict=False):
                request_id = answer["request_id"]
                value = encode(GroundTruth(request_id=request_id, label=truth))
                await producer.send(settings.topic_names.ground_truth, value, request_id.encode())
        await wait_for_count(deployment, len(answers))

    asyncio.run(label())

    def said() -> bool:
        cause = asyncio.run(control_messages(deployment))[ROUTE][-1].cause
        arms = cause.get("arms", {})
        return {arm: arms[arm]["labels"] for arm in by_arm if arm in arms} == by_arm

    until(said, "the control topic says the labels of each arm")


def test_rollback_reaches_the_server(
    deploy: Callable[..., Any],
    serve: Callable[[Deployment], Server],
    figures: Callable[..., None],
) -> None:
    """``leverframe rollback`` in another process takes the arm off, and is acknowledged."""
    deployment = asyncio.run(deploy(**SETTINGS, LEVERFRAME_APP__CONTROL_KEY=KEY))
    deployment.start()
    server = serve(deployment)
    weights = asyncio.run(register(deployment, "v1", "v3"))
    until(lambda: server.routing()["weights"] == weights, "two arms")
    assert "v3" in {answer["arm"] for answer in server.predict(60)}

    began = time.monotonic()
    terminal = python(
        deployment, "leverframe.agents.cli.main", "rollback", ROUTE, "v3", stderr=subprocess.PIPE
    )
    until(lambda: not server.routing()["weights"].get("v3"), "v3 is off")
    effective_s = time.monotonic() - began
    answers = server.predict(60)
    assert {answer["arm"] for answer in answers} == {"v1"}
    err = terminal.communicate(timeout=PATIENCE_S)[1]
    assert terminal.returncode == 0, err

    messages = asyncio.run(control_messages(deployment))[ROUTE]
    version = next((one.epoch, one.seq) for one in messages if one.kind == "rollback")

    def acknowledged() -> list[ControlAck]:
        acks = records(deployment, "control-acks", ControlAck)
        return [ack for ack in acks if (ack.epoch, ack.seq) >= version]

    ack = min(until(acknowledged, "acknowledged"), key=lambda ack: (ack.epoch, ack.seq))
    assert ack.replica.endswith(f"-{server.process.pid}")
    commands = records(deployment, "commands", Command)
    issued_ms = next(one.issued_at_ms for one in commands if one.action == "rollback")
    acknowledged_s = (ack.applied_at_ms - issued_ms) / 1000
    figures(typed_to_effective_s=effective_s, command_to_acknowledged_s=acknowledged_s)
    assert acknowledged_s < PROMPTLY_S
    assert f"ROLLBACK on {ROUTE}" in server.log
    assert KEY not in server.log


def test_frozen_job_means_safe_weights(
    deploy: Callable[..., Any],
    serve: Callable[[Deployment], Server],
    figures: Callable[..., None],
) -> None:
    """A frozen worker: after the ttl only the champion answers, said aloud; then all as before."""
    deployment = asyncio.run(deploy(**SETTINGS, LEVERFRAME_ROUTES__BIOPSY__TTL_S=str(TTL_S)))
    worker = deployment.start()
    server = serve(deployment)
    weights = asyncio.run(register(deployment, "v1", "v3"))
    well = (200, {"healthy": True, "safe_weights": {}})
    until(lambda: server.routing()["weights"] == weights, "two arms")
    until(lambda: server.call("/health") == well, "health")
    before = server.routing()

    worker.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    health = until(lambda: (found := server.call("/health"))[0] == 503 and found[1], "safe weights")
    fell_back_s = time.monotonic() - began
    # Noticed when the subscriber looks next; the health is asked for afresh.
    safe = until(lambda: (now := server.routing())["since"] > before["since"] and now, "noticed")
    answers = server.predict(60)
    worker.send_signal(signal.SIGCONT)
    assert health == {
        "healthy": False,
        "safe_weights": {ROUTE: f"nothing heard of the job for {TTL_S} s"},
    }
    assert (safe["safe_weights_in_force"], safe["weights"]) == (True, {"v1": 1.0})
    assert {(answer["arm"], answer["propensity"]) for answer in answers} == {("v1", 1.0)}
    figures(frozen_to_safe_weights_s=fell_back_s)
    # The newest heartbeat may be a third of the ttl old when the worker freezes.
    assert 1 < fell_back_s < TTL_S + PROMPTLY_S

    until(lambda: server.call("/health") == well, "the job is heard again")
    after = until(lambda: (now := server.routing())["since"] > safe["since"] and now, "since")
    assert (after["safe_weights_in_force"], after["weights"]) == (False, weights)
    assert safe["since"] > before["since"]
    assert "v3" in {answer["arm"] for answer in server.predict(60)}
    assert f"{ROUTE}: silent for {TTL_S} s, safe weights" in server.log
    assert f"{ROUTE}: heard again" in server.log


def batch(deployment: Deployment, text: str, *arguments: str) -> tuple[int, str]:
    """Score; return the exit code and what was said."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    scorer = python(deployment, "examples.batch_scorer", ROUTE, *arguments, **pipes)
    said = scorer.communicate(text, timeout=PATIENCE_S)[1]
    return scorer.returncode, said


def test_batch_scorer_follows_the_weights(deploy: Callable[..., Any], tmp_path: Path) -> None:
    """Each id once, arms in the proportion of the weights, all of it on ``predictions``."""
    deployment = asyncio.run(deploy(**SETTINGS))
    deployment.start()
    weights = asyncio.run(register(deployment, "v1", "v2", "v3"))
    rows = python(deployment, "examples.models", stdout=subprocess.PIPE).communicate(
        timeout=PATIENCE_S
    )[0]
    output = tmp_path / "answers.csv"
    code, said = batch(deployment, rows, "--output", str(output))
    assert code == 0, said
    answers = list(csv.DictReader(output.read_text().splitlines()))
    ids = [answer["id"] for answer in answers]
    assert ids == [line.split(",")[0] for line in rows.splitlines()[1:]]
    assert len(set(ids)) == len(ids) == 569
    counts = Counter(answer["arm"] for answer in answers)
    expected = {arm: share * len(ids) for arm, share in weights.items()}
    chi_square = sum((counts[arm] - mean) ** 2 / mean for arm, mean in expected.items())
    assert chi_square < 18.4, (counts, expected)  # 2 degrees of freedom: 1 in 10,000
    sent = records(deployment, "predictions", Prediction)
    assert sorted((one.request_id, one.arm, str(one.prediction)) for one in sent) == sorted(
        (answer["id"], answer["arm"], answer["prediction"]) for answer in answers
    )
    assert {one.arm: one.propensity for one in sent} == pytest.approx(weights)
    table = [line.split() for line in said.splitlines()[-3:]]
    assert {arm: int(count) for arm, count, _, _ in table} == counts
    said_weights = {arm: float(weight) for arm, _, _, weight in table}
    assert said_weights == pytest.approx(weights, abs=6e-4)


def test_batch_scorer_says_what_is_wrong(deploy: Callable[..., Any]) -> None:
    """No weights yet, or a column that is missing: exit code 1 and one line that says so."""
    deployment = asyncio.run(deploy(**SETTINGS))
    header = "id,mean radius,mean texture,mean smoothness"
    for text, reason in {
        f"{header},mean concavity\na,1,2,3,4\n": "no weights yet: leverframe arm register biopsy",
        f"{header}\na,1,2,3\n": "the input has no column mean concavity",
    }.items():
        code, said = batch(deployment, text)
        assert code == 1
        assert said.startswith(f"batch_scorer: {reason}")
        assert "Traceback" not in said
