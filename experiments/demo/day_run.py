"""``leverframe demo --scenario labels``: a day of labels in half a minute, to the last one."""

import asyncio
import logging
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer, TopicPartition
from msgspec import Struct, to_builtins
from rich.console import Console

from leverframe.agents.operator.topics import read_to_end
from leverframe.agents.settings import Settings, load_settings
from leverframe.experiments.demo.day import BUCKET_MS, HOUR_MS, ROUTES, RULES, Day, write_day
from leverframe.experiments.demo.day_table import (
    differing_requests,
    expected_counts,
    oracle_sums,
    our_sums,
    show_day,
)
from leverframe.experiments.demo.processes import demo_broker, running_worker
from leverframe.schemas.codec import decode
from leverframe.schemas.reward import Reward
from leverframe.streams.learning.state import RouteState, decode_route
from leverframe.streams.runtime.kafka import client_options
from leverframe.streams.runtime.topic_admin import create_topics

__all__ = ["DayOptions", "run_day"]

_KILL_AT_HOUR: Final = 12
_HOURS: Final = 32  # the last label comes 7 hours after midnight
_PATIENCE_S: Final = 300.0
_QUIET_S: Final = 3.0


class DayOptions(Struct, frozen=True, kw_only=True):
    """What a user may choose.

    Attributes
    ----------
    seed : int
        Of the script.
    requests : int
        On both routes together.
    output : Path
        Folder of the results.
    """

    seed: int
    requests: int
    output: Path


def run_day(options: DayOptions, console: Console) -> bool:
    """Send the day to a real worker, kill it at noon, and compare what it knows in the end."""

    def say(text: str) -> None:
        console.print(f"==> {text}", highlight=False, soft_wrap=True)

    options.output.mkdir(parents=True, exist_ok=True)
    # New topics have no leader for a moment, which aiokafka retries and says at length.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    now_ms = time.time_ns() // 1_000_000
    start_ms = now_ms - now_ms % HOUR_MS - (_HOURS + 1) * HOUR_MS
    day = write_day(options.seed, options.requests, start_ms)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leverframe-day-")))
        servers = demo_broker(stack, folder, say, keep=False)
        settings, environment = _settings(servers, folder)
        asyncio.run(create_topics(settings.broker, settings.declared_topics(), 1))
        with ExitStack() as worker:

            def start() -> Any:
                log = options.output / "worker.log"
                return worker.enter_context(running_worker(environment, log, keep=False))

            running = start()

            def noon() -> None:
                say("12:00  kill -9 of the worker, and its disk is gone; another one takes over")
                running.kill()
                running.wait()
                shutil.rmtree(settings.app.datadir, ignore_errors=True)
                start()

            asyncio.run(_send(settings, day, start_ms, console, noon))
            say("the day is over; waiting for the last windows to end")
            return asyncio.run(_compare(settings, day, start_ms, options, console))


def _settings(servers: str, folder: Path) -> tuple[Settings, dict[str, str]]:
    environment = {
        "LEVERFRAME_BROKER": servers,
        "LEVERFRAME_APP__DATADIR": str(folder / "worker"),
        "LEVERFRAME_TOPICS__PREFIX": f"day-{uuid.uuid4().hex[:6]}-",
    }
    for route, rules in RULES.items():
        whole = {**rules, "bucket_ms": BUCKET_MS, "max_buckets": 400, "guard": {"enabled": False}}
        for name, value in whole.items():
            key = f"LEVERFRAME_ROUTES__{route.upper()}__{name.upper()}"
            environment[key] = value if isinstance(value, str) else _toml(value)
    return load_settings(None, environment), environment


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(own)}" for key, own in value.items()) + " }"
    return orjson.dumps(value).decode()


async def _send(
    settings: Settings, day: Day, start_ms: int, console: Console, noon: Callable[[], None]
) -> None:
    """Send every record at its own record time, as fast as it goes, hour by hour."""
    topics = settings.topic_names
    producer = AIOKafkaProducer(**client_options(settings.broker), linger_ms=5)
    await producer.start()
    try:
        at = 0
        for hour in range(_HOURS):
            if hour == _KILL_AT_HOUR:
                await asyncio.to_thread(noon)
            first = at
            while at < len(day.sent) and day.sent[at].at_ms < start_ms + (hour + 1) * HOUR_MS:
                record = day.sent[at]
                topic = topics.predictions if record.is_prediction else topics.ground_truth
                await producer.send(topic, record.value, key=record.key, timestamp_ms=record.at_ms)
                at += 1
            await producer.flush()
            if at > first:
                clock = f"{hour % 24:02d}:00" + (" next day" if hour >= 24 else "")
                console.print(f"    {clock}  {at - first:,} records", highlight=False)
    finally:
        await producer.stop()


async def _compare(
    settings: Settings, day: Day, start_ms: int, options: DayOptions, console: Console
) -> bool:
    end_ms = start_ms + 24 * HOUR_MS
    counted = expected_counts(day)
    oracle = oracle_sums(day, counted, end_ms)
    states = await _settled(settings, lambda found: our_sums(found, end_ms) == oracle)
    ours = our_sums(states, end_ms)
    topics = settings.topic_names
    rewards = [
        decode(Reward, record.value)
        for record in await _read(settings, topics.rewards, settings.topics.route_partitions)
    ]
    letters = await _read(settings, topics.dead_letters, settings.topics.route_partitions)
    differing = differing_requests(counted, rewards)
    console.print()
    show_day(day, oracle, ours, states, console)
    reasons: dict[str, int] = {}
    for letter in letters:
        reason = dict(letter.headers)["leverframe.reason"].decode()
        reasons[reason] = reasons.get(reason, 0) + 1
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "none"
    console.print(f"\ndead letters: {told}")
    console.print(
        f"{len(counted):,} requests, {len(day.sent):,} records, {len(rewards):,} reward records; "
        f"requests whose last reward differs from the oracle's: {len(differing)}"
    )
    _write(options, oracle, ours, differing, reasons)
    return ours == oracle and not differing


async def _settled(
    settings: Settings, is_equal: Callable[[dict[str, RouteState]], bool]
) -> dict[str, RouteState]:
    """The states once they are as expected and windows end no more, or when patience ends."""
    deadline = time.monotonic() + _PATIENCE_S
    ended, since = -1, time.monotonic()
    while True:
        states = await _states(settings)
        now_s = time.monotonic()
        found = sum(_ended(state) for state in states.values())
        if found != ended:
            ended, since = found, now_s
        if (is_equal(states) and now_s - since > _QUIET_S) or now_s > deadline:
            return states
        await asyncio.sleep(0.5)


def _ended(state: RouteState) -> int:
    """Requests of a route whose window has ended."""
    return state.join.totals.get("orphan_prediction", 0) + state.join.totals.get("closed", 0)


def _write(
    options: DayOptions, oracle: Any, ours: Any, differing: list[str], reasons: dict[str, int]
) -> None:
    sums = {
        name: {f"{route}/{arm}": to_builtins(own) for (route, arm), own in sorted(told.items())}
        for name, told in (("oracle", oracle), ("ours", ours))
    }
    summary = {**sums, "differing_requests": differing, "dead_letters": reasons}
    path = options.output / "labels.json"
    path.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2))


async def _states(settings: Settings) -> dict[str, RouteState]:
    changelog = settings.topic_names.learning_changelog
    newest = {
        record.key: record.value
        for record in await _read(settings, changelog, settings.topics.route_partitions)
        if not record.key.startswith(b"\0")
    }
    states = [decode_route(value) for value in newest.values()]
    return {state.route: state for state in states if state.route in ROUTES}


async def _read(settings: Settings, topic: str, partitions: int) -> list[Any]:
    tps = [TopicPartition(topic, partition) for partition in range(partitions)]
    return await read_to_end(settings.broker, tps)
