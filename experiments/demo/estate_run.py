"""``leverframe demo --scenario estate``: topics of others steer traffic; no producer changes."""

import asyncio
import heapq
import logging
import random
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from leverframe.agents.operator.control import subscriber
from leverframe.agents.operator.topics import read_to_end
from leverframe.agents.settings import Settings, load_settings
from leverframe.experiments.demo.estate import DECISION, RIGHT, SETTINGS, Case, Estate
from leverframe.experiments.demo.processes import demo_broker, running_worker
from leverframe.schemas.codec import decode
from leverframe.schemas.reward import Reward
from leverframe.streams.runtime.kafka import client_options
from leverframe.streams.runtime.topic_admin import create_topics

__all__ = ["EstateOptions", "run_estate"]

ROUTE: Final = "credit"
BETTER: Final = "score-2"
_SCHEMA_ID: Final = 7
_PARTITIONS: Final = (3, 5)
_WON: Final = 0.7
_PATIENCE_S: Final = 120.0


class EstateOptions(Struct, frozen=True, kw_only=True):
    """What a user may choose: seed, applications a second, longest time, folder of the results."""

    seed: int
    rate: float
    duration_s: float
    output: Path


class _Schemas(BaseHTTPRequestHandler):
    """The estate's schema registry, as far as it is asked."""

    def do_GET(self) -> None:
        """Answer with the schema of decisions."""
        body = orjson.dumps({"schema": orjson.dumps(DECISION).decode()})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Schemas)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def run_estate(options: EstateOptions, console: Console) -> bool:
    """Let topics of others steer traffic; return whether each outcome counted as it had to."""

    def say(text: str) -> None:
        console.print(f"==> {text}", highlight=False, soft_wrap=True)

    options.output.mkdir(parents=True, exist_ok=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader yet
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leverframe-estate-")))
        servers = demo_broker(stack, folder, say, keep=False)
        prefix = f"estate-{uuid.uuid4().hex[:6]}-"
        config = options.output / "leverframe.toml"
        registry = stack.enter_context(_registry())
        config.write_text(SETTINGS.format(registry=registry, prefix=prefix))
        environment = {
            "LEVERFRAME_CONFIG": str(config),
            "LEVERFRAME_BROKER": servers,
            "LEVERFRAME_APP__DATADIR": str(folder / "worker"),
            "LEVERFRAME_TOPICS__PREFIX": prefix,
        }
        settings = load_settings(config, environment)
        asyncio.run(_make_topics(settings))
        say(f"decisions come in Avro, outcomes off a table; all that says so is {config}")
        log = options.output / "worker.log"
        stack.enter_context(running_worker(environment, log, keep=False))
        return asyncio.run(_play(settings, options, console, say))


async def _make_topics(settings: Settings) -> None:
    await create_topics(settings.broker, settings.declared_topics(), 1)
    names = [source.topic for source in settings.sources.values()]
    admin = AIOKafkaAdminClient(**client_options(settings.broker))
    await admin.start()
    try:
        made = zip(names, _PARTITIONS, strict=True)
        await admin.create_topics([NewTopic(name, count, 1) for name, count in made])
    finally:
        await admin.close()


async def _play(
    settings: Settings, options: EstateOptions, console: Console, say: Callable[[str], None]
) -> bool:
    estate = Estate(_SCHEMA_ID, random.Random(options.seed))  # noqa: S311 - seeded on purpose
    share = await _serve(settings, estate, options, say)
    say("the last outcomes are written; waiting for what comes of them")
    rewards = await _settled(settings, estate.cases)
    letters = await _read(settings, settings.topic_names.dead_letters)
    paths = Counter(dict(one.headers)["leverframe.path"].decode() for one in letters)
    return _show(estate, rewards, paths, share, console)


async def _serve(
    settings: Settings, estate: Estate, options: EstateOptions, say: Callable[[str], None]
) -> float:
    """Write applications until the better scorecard has most of the traffic; return its share."""
    decisions, outcomes = (source.topic for source in settings.sources.values())
    producer = AIOKafkaProducer(**client_options(settings.broker), linger_ms=5)
    waiting: list[tuple[float, int, Any]] = []
    began, number, told_s = time.monotonic(), 0, 0.0
    share = 0.0
    await producer.start()
    try:
        async with subscriber(settings) as routing:
            while waiting or share < _WON:
                now_s = time.monotonic() - began
                state = routing.in_force(ROUTE)
                share = 0.0 if state is None else state.weights.get(BETTER, 0.0)
                if share < _WON and now_s < options.duration_s:
                    drawn = routing.assign(ROUTE, f"app-{len(estate.cases)}")
                    arm = estate.rng.choice([*RIGHT]) if drawn is None else drawn[0]
                    chance = 1 / len(RIGHT) if drawn is None else drawn[1]
                    for sent in estate.application(arm, chance, time.time_ns() // 1_000_000):
                        number += 1
                        heapq.heappush(waiting, (now_s + sent.after_s, number, sent))
                elif now_s >= options.duration_s and not waiting:
                    break
                while waiting and waiting[0][0] <= now_s:
                    sent = heapq.heappop(waiting)[2]
                    topic = decisions if sent.is_decision else outcomes
                    await producer.send(topic, sent.value, key=sent.key)
                if now_s - told_s >= 2:
                    told_s = now_s
                    say(f"{len(estate.cases):,} applications, {BETTER} has {share:.0%}")
                await asyncio.sleep(1 / options.rate)
    finally:
        await producer.stop()
    return share


async def _settled(settings: Settings, cases: dict[str, Case]) -> dict[str, list[Reward]]:
    """The rewards of each request, once they are as they must be, or when patience ends."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        by_request: dict[str, list[Reward]] = {}
        for record in await _read(settings, settings.topic_names.rewards):
            reward = decode(Reward, record.value)
            by_request.setdefault(reward.request_id, []).append(reward)
        if not _wrong(cases, by_request) or time.monotonic() > deadline:
            return by_request
        await asyncio.sleep(0.5)


def _wrong(cases: dict[str, Case], rewards: dict[str, list[Reward]]) -> list[str]:
    """Applications that did not come to what they must."""
    wrong = []
    for name, case in cases.items():
        told = [one.reward for one in rewards.get(name, [])]
        right: list[list[float | None]]
        if case.is_unclear:
            right = [[]]
        elif case.reward is None:
            right = [[0.0, None], [1.0, None]]
        else:
            right = [[case.reward]]
        if told not in right:
            wrong.append(name)
    return wrong


async def _read(settings: Settings, topic: str) -> list[Any]:
    partitions = settings.topics.route_partitions
    return await read_to_end(settings.broker, [TopicPartition(topic, p) for p in range(partitions)])


def _show(
    estate: Estate,
    rewards: dict[str, list[Reward]],
    paths: Counter[str],
    share: float,
    console: Console,
) -> bool:
    cases = estate.cases
    table = Table(box=None, pad_edge=False)
    for column in ("scorecard", "applications", "rewarded", "withdrawn", "mean reward"):
        table.add_column(column, justify="left" if column == "scorecard" else "right")
    for arm in RIGHT:
        own = [case for case in cases.values() if case.arm == arm]
        kept = [case.reward for case in own if case.reward is not None and not case.is_unclear]
        gone = sum(case.reward is None for case in own)
        mean = sum(kept) / max(1, len(kept))
        table.add_row(arm, f"{len(own):,}", f"{len(kept):,}", f"{gone:,}", f"{mean:.3f}")
    console.print()
    console.print(table)
    unclear = sum(case.is_unclear for case in cases.values())
    wrong = _wrong(cases, rewards)
    console.print(f"\n{BETTER} has {share:.0%} of the traffic")
    console.print(
        f"dead letters: {paths['row.outcome']} at row.outcome, of {unclear} unclear words"
    )
    console.print(
        f"{len(cases):,} applications; outcomes that were lost or counted twice: {len(wrong)}"
    )
    return not wrong and paths == {"row.outcome": unclear} and share >= _WON
