"""What a follower meets: it keeps following, and counts it."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from patience import PATIENCE_S

from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.serving import subscriber
from leverframe.serving.subscriber import Subscriber

CONTROL = TopicPartition("control", 0)


@dataclass
class Record:
    offset: int
    value: bytes | None
    key: bytes = b"r"
    topic: str = "control"
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 0
    timestamp: int = 0


def record(
    offset: int, seq: int, route: str = "r", ttl_ms: int = 60_000, **weights: float
) -> Record:
    made = ControlMessage(
        route=route,
        epoch=0,
        seq=seq,
        kind="routing",
        weights=weights or {"a": 1.0},
        champion="a",
        safe_weights={"a": 1.0},
        ttl_ms=ttl_ms,
        issued_at_ms=0,
        salt="",
        cause={},
        state_digest="",
    )
    return Record(offset, encode(made), route.encode())


class Consumer:
    """Gives one thing after the other; then nothing."""

    def __init__(self, *gives: list[Record] | Exception) -> None:
        self._gives = list(gives)
        self._client = SimpleNamespace(_sync_task=asyncio.create_task(asyncio.Event().wait()))
        self._coordinator, self._fetcher = None, None
        self.is_stopped = False

    def assignment(self) -> set[TopicPartition]:
        return {CONTROL}

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    async def position(self, _: TopicPartition) -> int:
        return 0

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0)
        if not self._gives:
            await asyncio.sleep(0.01)
            return {}
        given = self._gives.pop(0)
        if isinstance(given, Exception):
            raise given
        return {CONTROL: given}

    async def stop(self) -> None:
        self._client._sync_task.cancel()
        self.is_stopped = True


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "_RETRY_S", 0.01)


async def followed(consumers: Iterator[Any], until_seq: int, **options: Any) -> Subscriber:
    """Follow these consumers, one after the other, until a message is in force."""
    routing = Subscriber("nowhere", **options)

    async def connected() -> Any:
        made = next(consumers)()
        if isinstance(made, Exception):
            raise made
        return made

    routing._connected = connected  # type: ignore[method-assign]
    await routing.start()
    async with asyncio.timeout(10):
        while (state := routing.in_force("r")) is None or state.message.seq < until_seq:
            await asyncio.sleep(0.01)
    await routing.stop()
    return routing


def test_records_that_cannot_be_used_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Unreadable, under another key, and what breaks us in ways that nobody has thought of."""

    class Hostile(Record):
        @property
        def headers(self) -> Any:
            raise TypeError("no headers")

        @headers.setter
        def headers(self, _: Any) -> None:
            pass

    bad = [Record(0, b"{"), Record(1, None), record(2, 8)]
    bad[2].key = b"other"
    last = [Hostile(3, record(3, 9).value), record(4, 1)]
    routing = asyncio.run(followed(iter([lambda: Consumer([*bad, *last])]), 1, key=None))
    assert routing.interrupted == 0
    assert routing.refused >= 2
    assert any(getattr(r, "event", "") == "control_refused" for r in caplog.records)


def test_others_have_their_turn_while_all_routes_fall_silent() -> None:
    """As when the job ends: a server that shares the loop goes on answering."""
    routes, silent, most = 1_000, list[str](), 0
    records = [record(at, 1, f"r{at}", ttl_ms=50, a=0.5, b=0.5) for at in range(routes)]

    async def answer() -> None:
        nonlocal most
        while len(silent) < routes:
            before = len(silent)
            await asyncio.sleep(0)
            most = max(most, len(silent) - before)

    async def play() -> None:
        routing = Subscriber(
            "nowhere",
            on_weights=lambda state: (
                silent.append(state.message.route) if state.is_fallback else None
            ),
        )

        async def connected() -> Any:
            return Consumer(records)

        routing._connected = connected  # type: ignore[method-assign]
        await routing.start()
        async with asyncio.timeout(PATIENCE_S):
            await answer()
        await routing.stop()

    asyncio.run(play())
    assert len(set(silent)) == routes
    assert 0 < most <= 64


def test_callbacks_that_fail_end_nothing() -> None:
    """Each of the three."""

    def fail(_: object) -> None:
        raise ValueError("a user's mistake")

    routing = asyncio.run(
        followed(
            iter([lambda: Consumer([record(0, 1)], [record(1, 2, a=0.5, b=0.5)])]),
            2,
            on_routing=fail,
            on_rollback=fail,
            on_weights=fail,
        )
    )
    assert routing.interrupted == 0


def test_errors_of_the_broker_are_waited_out_and_counted_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not a line for each try: an outage would fill the log of a serving system."""
    gone = [KafkaError("away")] * 5
    routing = asyncio.run(followed(iter([lambda: Consumer([], *gone, [record(0, 1)])]), 1))
    assert routing.interrupted == 5
    told = [r for r in caplog.records if getattr(r, "event", "") == "control_unreadable"]
    assert len(told) == 1


def test_where_a_client_cannot_go_on_another_begins() -> None:
    """An error that is none of Kafka's, a task of the client that has ended, no connection."""
    made: list[Consumer] = []

    def consumer(*gives: list[Record] | Exception) -> Consumer:
        made.append(Consumer(*gives))
        return made[-1]

    def dying() -> Consumer:
        one = consumer([record(1, 2)])
        one._client._sync_task.cancel()
        return one

    routing = asyncio.run(
        followed(
            iter(
                [
                    lambda: consumer([record(0, 1)], RuntimeError("no such thing")),
                    dying,
                    lambda: KafkaError("nobody answers"),
                    lambda: consumer([record(0, 1)], [record(1, 3)]),
                ]
            ),
            3,
        )
    )
    assert routing.interrupted == 3
    # Its own new beginning is no topic that was made anew.
    assert routing.reread == 0
    assert [one.is_stopped for one in made] == [True, True, True]


def test_a_topic_that_begins_anew_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Lower messages are ignored, what is in force stays, and the next higher one is taken."""
    caplog.set_level(logging.WARNING)
    fetches = [[record(0, 5), record(1, 6)], [record(0, 2)], [record(1, 3)], [record(2, 7)]]
    routing = asyncio.run(followed(iter([lambda: Consumer(*fetches)]), 7))
    assert routing.reread == 1
    told = [r for r in caplog.records if getattr(r, "event", "") == "control_made_anew"]
    assert len(told) == 1
