"""Records and names that somebody made to do harm: dead letters, and the worker goes on."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner
from estate import configure
from harness import Deployment, Script, produce, read_all, verify
from patience import PATIENCE_S

from leverframe.agents.cli.main import cli
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.signing import SIGNATURE_HEADER, signature_of
from leverframe.serving.subscriber import Subscriber

pytestmark = pytest.mark.broker

_MB = 1 << 20


async def _send(deployment: Deployment, topic: str, *records: Any, **options: Any) -> None:
    producer: Any = AIOKafkaProducer(
        bootstrap_servers=deployment.settings.broker.servers, **options
    )
    await producer.start()
    try:
        for key, value in records:
            await producer.send(topic, value, key=key)
        await producer.flush()
    finally:
        await producer.stop()


async def _letters(deployment: Deployment, count: int) -> list[Any]:
    """Wait for so many dead letters."""
    settings = deployment.settings
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = await read_all(
            settings.broker.servers,
            settings.topic_names.dead_letters,
            settings.topics.route_partitions,
        )
        if len(found) >= count or time.monotonic() > deadline:
            return found


def _reasons(letters: list[Any]) -> Counter[str]:
    return Counter(dict(each.headers)["leverframe.reason"].decode() for each in letters)


def _prediction(name: str, arm: str = "a", route: str = "r") -> tuple[bytes, bytes]:
    value = f'{{"request_id":"{name}","route":"{route}","arm":"{arm}","prediction":1}}'
    return name.encode(), value.encode()


def test_huge_deep_and_packed_records_are_dead_letters(deploy: Callable[..., Any]) -> None:
    """50 MB in one value, a batch that unpacks to 256 MB, deep JSON: set aside, work goes on."""

    async def drill() -> None:
        deployment = await deploy()
        topic = deployment.settings.topic_names.predictions
        await configure(deployment, {topic: {"max.message.bytes": str(60 * _MB)}})
        await _send(
            deployment,
            topic,
            (b"huge", bytes(50 * _MB)),
            max_request_size=60 * _MB,
            request_timeout_ms=60_000,
        )
        bomb = [(f"bomb-{n}".encode(), bytes(64 * _MB)) for n in range(4)]
        packed = {"max_request_size": 80 * _MB, "max_batch_size": 300 * _MB, "linger_ms": 2000}
        await _send(deployment, topic, *bomb, compression_type="gzip", **packed)
        deep = b'{"request_id":"deep","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        latin = '{"request_id":"latin","route":"caf\u00e9"}'.encode("latin-1")
        await _send(deployment, topic, (b"deep", deep), (b"latin", latin))
        worker = deployment.start()
        letters = await _letters(deployment, 7)
        assert _reasons(letters) == {"oversized": 5, "unreadable": 2}
        assert max(len(letter.value) for letter in letters) <= 900_000
        script = Script(pairs=500, seed=71)
        await produce(deployment, script, 2000)
        await verify(deployment, script)
        assert worker.poll() is None
        assert psutil.Process(worker.pid).memory_info().rss < 1500 * _MB

    asyncio.run(drill())


def test_a_claimed_request_id_does_not_move_its_owner(deploy: Callable[..., Any]) -> None:
    """The first prediction keeps the id; the other is a dead letter, the label counts once."""

    async def drill() -> None:
        deployment = await deploy()
        deployment.start()
        script = Script(pairs=50, seed=72, duplicate_share=0, early_share=0)
        claims = [
            (key, value.replace(b'"arm":"arm-', b'"arm":"stolen-'))
            for topic, key, value in script.events()
            if topic == "predictions"
        ]
        await produce(deployment, script, 1000)
        await _send(deployment, deployment.settings.topic_names.predictions, *claims)
        assert _reasons(await _letters(deployment, 50)) == {"conflict": 50}
        await verify(deployment, script)

    asyncio.run(drill())


def test_a_flood_of_arms_stops_at_the_limit(deploy: Callable[..., Any]) -> None:
    """Many thousand arms on one route: as many as the route may have, the rest dead letters."""

    async def drill() -> None:
        deployment = await deploy()
        topics = deployment.settings.topic_names
        worker = deployment.start()
        names = [f"flood-{n}" for n in range(5000)]
        await _send(deployment, topics.predictions, *(_prediction(n, arm=n) for n in names))
        labels = ((n.encode(), f'{{"request_id":"{n}","label":1}}'.encode()) for n in names)
        await _send(deployment, topics.ground_truth, *labels)
        letters = await _letters(deployment, 4900)
        assert _reasons(letters) == {"limit": 4900}
        assert worker.poll() is None

    asyncio.run(drill())


def test_a_flood_of_routes_stops_at_the_limit(deploy: Callable[..., Any]) -> None:
    """Many thousand routes that the settings do not name: as many as allowed, then dead letters."""

    async def drill() -> None:
        deployment = await deploy(
            LEVERFRAME_APP__MAX_ROUTES="100", LEVERFRAME_TOPICS__ROUTE_PARTITIONS="1"
        )
        topics = deployment.settings.topic_names
        worker = deployment.start()
        names = [f"flood-{n}" for n in range(3000)]
        await _send(deployment, topics.predictions, *(_prediction(n, route=n) for n in names))
        labels = ((n.encode(), f'{{"request_id":"{n}","label":1}}'.encode()) for n in names)
        await _send(deployment, topics.ground_truth, *labels)
        letters = await _letters(deployment, 2900)
        assert _reasons(letters) == {"limit": 2900}
        assert worker.poll() is None

    asyncio.run(drill())


def test_forged_replayed_and_unsigned_control_changes_nothing(deploy: Callable[..., Any]) -> None:
    """A subscriber with a key stays with the job's message, whatever else lies on ``control``."""

    async def drill() -> None:
        deployment = await deploy(LEVERFRAME_APP__CONTROL_KEY="the-key")
        topics = deployment.settings.topic_names
        deployment.start()
        script = Script(pairs=200, seed=73, routes=1)
        await produce(deployment, script, 1000)
        await verify(deployment, script)
        async with Subscriber(
            deployment.settings.broker.servers, control=topics.control, key=b"the-key"
        ) as routing:
            held = routing.in_force("route-0")
            assert held is not None
            await _forge(deployment, held.message)
            deadline = time.monotonic() + PATIENCE_S
            while routing.table.refused < 4 and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            assert routing.table.refused == 4
            now = routing.in_force("route-0")
            assert now is not None
            assert now.message.seq >= held.message.seq
            assert "evil" not in now.weights
            assert routing.in_force("route-1") is None

    asyncio.run(drill())


async def _forge(deployment: Any, true: ControlMessage) -> None:
    """Unsigned, signed by another key, tampered with, moved; old ones again, which are ignored."""
    from msgspec.structs import replace

    servers, topic = deployment.settings.broker.servers, deployment.settings.topic_names.control
    higher = encode(replace(true, epoch=true.epoch + 5, weights={"evil": 1.0}))
    lower = encode(replace(true, epoch=0, seq=0, weights={"evil": 1.0}))
    route = b"route-0"
    forged = [
        (route, higher, None),
        (route, higher, signature_of(topic, route, higher, b"another-key")),
        (route, higher, signature_of(topic, route, encode(true), b"the-key")),
        (b"route-1", encode(true), signature_of(topic, route, encode(true), b"the-key")),
        (route, encode(true), signature_of(topic, route, encode(true), b"the-key")),
        (route, lower, signature_of(topic, route, lower, b"the-key")),
    ]
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for key, value, signature in forged:
            headers = [] if signature is None else [(SIGNATURE_HEADER, signature)]
            await producer.send_and_wait(topic, value, key=key, headers=headers)


def test_web_port_listens_on_loopback_only(deploy: Callable[..., Any]) -> None:
    """Metrics are not offered to the network unless somebody says so."""

    async def drill() -> None:
        from leverframe.devbroker.ports import free_ports

        (port,) = free_ports(1)
        deployment = await deploy(LEVERFRAME_APP__WEB_PORT=str(port))
        worker = deployment.start()
        deadline = time.monotonic() + PATIENCE_S
        bound: set[str] = set()
        while not bound and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            connections = psutil.Process(worker.pid).net_connections("tcp")
            listening = [each for each in connections if each.status == psutil.CONN_LISTEN]
            bound = {each.laddr.ip for each in listening}
        assert bound == {"127.0.0.1"}

    asyncio.run(drill())


def test_hostile_names_do_not_reach_the_terminal(
    deploy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Escape sequences, markup and direction marks in names come out as text."""

    async def drill() -> Deployment:
        deployment: Deployment = await deploy()
        topics = deployment.settings.topic_names
        deployment.start()
        hostile = "\\u001b[2J\\u009b31m[/red]\\u202e"
        name = "h-1"
        await _send(deployment, topics.predictions, _prediction(name, hostile, f"r{hostile}"))
        label = (name.encode(), b'{"request_id":"h-1","label":1}')
        await _send(deployment, topics.ground_truth, label)
        settings = deployment.settings
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not await read_all(
            settings.broker.servers, topics.control, settings.topics.route_partitions
        ):
            pass
        return deployment

    deployment = asyncio.run(drill())
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    for words in (["status"], ["status", "--json"], ["status", "nobody"]):
        done = CliRunner().invoke(cli, words)
        text = done.output + str(done.exception or "")
        assert words == ["status", "nobody"] or done.exit_code == 0, text
        if words != ["status", "nobody"]:
            assert not {"\x1b", "\x9b", "\u202e"} & set(text), repr(text)
            assert "[2J" in text
