"""Event streams: what is urgent at once, all else once a second, and nothing that is known."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest
from asking import Asked

from leverframe.agents.gateway import notices as module
from leverframe.agents.gateway.notices import Notices, event


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def told(part: bytes) -> str:
    lines = dict(line.split(": ", 1) for line in part.decode().splitlines() if line)
    data = orjson.loads(lines["data"])
    assert data["type"] == "refetchEvaluation"
    assert data["etag"] == lines["id"]
    return str(data["etag"])


def test_a_client_that_comes_is_told_unless_it_knows() -> None:
    """So nothing is lost between its question and its stream, nor while it was away."""

    async def work() -> None:
        notices = Notices(lambda: 7.9)
        notices.put("one", is_urgent=False)
        new, back = notices.follow(""), notices.follow("one")
        assert await anext(new) == await anext(back) == b"retry: 1000\n\n"
        assert await anext(new) == event("one", 7)
        waiting = asyncio.ensure_future(anext(back))
        await asyncio.sleep(0)
        assert not waiting.done()
        notices.put("two", is_urgent=True)
        assert told(await waiting) == "two"
        assert notices.followers == 2
        notices.end()
        assert [part async for part in new] == []
        assert notices.followers == 1

    run(work)


def test_changes_are_told_at_a_pace_and_rollbacks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred steps of a policy are one event; what people wait for overtakes the pace."""
    monkeypatch.setattr(module, "_PACE_S", 0.05)

    async def work() -> None:
        notices = Notices()
        stream = notices.follow("")
        await anext(stream)
        for number in range(100):
            notices.put(f"step-{number}", is_urgent=False)
        assert told(await anext(stream)) == "step-0"
        assert told(await anext(stream)) == "step-99"
        notices.put("a", is_urgent=False)
        notices.put("rollback", is_urgent=True)
        assert told(await anext(stream)) == "rollback"

    run(work)


def test_silence_is_broken_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a comment, which clients leave out."""
    monkeypatch.setattr(module, "_STILL_HERE_S", 0.01)

    async def work() -> None:
        stream = Notices().follow("")
        await anext(stream)
        assert (await anext(stream)).startswith(b":")

    run(work)


def test_a_change_that_another_replica_told_is_waited_for() -> None:
    """Until it is ours too, though nobody was told of it here yet; no longer than patience."""

    async def work() -> None:
        notices = Notices()
        notices.put("one", is_urgent=True)
        waiting = asyncio.ensure_future(notices.reached("two", 60.0))
        await asyncio.sleep(0)
        notices.put("two", is_urgent=False)
        await waiting
        await notices.reached("never", 0.01)

    run(work)


def test_a_ticket_opens_the_stream_and_nothing_else() -> None:
    """For clients that can send no headers; without it, or with another, it stays shut."""
    asked = Asked(token="0123456789abcdef")  # noqa: S106 - of this test
    asked.notices.end()
    ticket = asked.guard.ticket()
    stream = "/ofrep/v1/events"
    assert asked.ask(stream, method="GET", query=f"ticket={ticket}").status == 200
    assert asked.ask(stream, method="GET", query="ticket=0").status == 401
    assert asked.ask(stream, method="GET").status == 401
    assert asked.ask("/v1/labels", b"[]", query=f"ticket={ticket}").status == 401


def test_streams_are_bounded() -> None:
    answered = Asked(max_streams=0).ask("/ofrep/v1/events", method="GET")
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")
