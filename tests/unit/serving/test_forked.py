"""A subscriber that was started before a fork: the child is told, once, and is not healthy."""

import json
import logging
import os
from collections.abc import Callable
from typing import Any

import pytest
from control_records import message

from leverframe.schemas.codec import encode
from leverframe.serving.forked import FORKED, note_started
from leverframe.serving.subscriber import Subscriber, ThreadSubscriber

# Python 3.12 warns of what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


class Record:
    """A control record as it is read."""

    def __init__(self) -> None:
        told = message(1, 0, weights={"a": 1.0}, route="r")
        self.topic, self.key, self.value = "control", b"r", encode(told)
        self.headers: tuple[tuple[str, bytes], ...] = ()


class Following:
    """Stands for the task that follows the topic."""

    def done(self) -> bool:
        return False


@pytest.fixture
def started() -> Subscriber:
    """Give a subscriber that follows, as far as it can tell."""
    subscriber = Subscriber("nowhere:9092")
    record: Any = Record()
    subscriber.table.offer(record)
    following: Any = Following()
    subscriber._task = following
    subscriber._ready.set()
    note_started(subscriber)
    return subscriber


def in_child(look: Callable[[], Any]) -> Any:
    """Return what a forked child sees, and what it logs."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        said: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("leverframe").addHandler(handler)
        try:
            os.write(writing, json.dumps([look(), said]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        seen = json.loads(told.read())
    os.waitpid(child, 0)
    return seen


def test_the_child_says_what_to_do(started: Subscriber) -> None:
    """At the first question and not again; the answer is what was known."""
    threaded = ThreadSubscriber("nowhere:9092")
    threaded._subscriber = started

    def look() -> list[Any]:
        assigned = [threaded.assign("r", f"u{at}") for at in range(3)]
        return [[one and one.arm for one in assigned], threaded.is_healthy]

    seen, said = in_child(look)
    assert seen == [["a", "a", "a"], False]
    assert said == [FORKED]


def test_whoever_asks_for_health_is_told_too(started: Subscriber) -> None:
    """A health check is often the first to ask."""
    assert in_child(lambda: started.is_healthy) == [False, [FORKED]]


def test_parents_and_children_that_ask_nothing_hear_nothing(
    started: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    """The parent goes on as before, and a child of another kind is left alone."""
    assert in_child(lambda: None) == [None, []]
    assert started.is_healthy
    assert started.assign("r", "u") is not None
    assert not caplog.records


def test_a_subscriber_of_the_child_is_its_own(started: Subscriber) -> None:
    """Made and started after the fork it is none that was forked."""

    def look() -> bool:
        note_started(own := Subscriber("nowhere:9092"))
        return own.is_forked or own.assign("r", "u") is not None

    assert in_child(look) == [False, []]
    assert not started.is_forked
