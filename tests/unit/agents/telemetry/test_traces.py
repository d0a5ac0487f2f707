"""What the job remembers of traces, and the spans that it begins: by OpenTelemetry's own SDK."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from leverframe.agents.telemetry.spans import Spans
from leverframe.agents.telemetry.traces import MOST_LINKS, ControlTraces, RewardTraces
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.reward import Reward
from leverframe.streams.runtime.runs import Run

PREDICTIONS, LABELS, REWARDS = "predictions", "ground-truth", "rewards"


def parent(trace: int, span: int = 1, flags: str = "01") -> bytes:
    return f"00-{trace:032x}-{span:016x}-{flags}".encode()


def run(topic: str, *records: tuple[str, bytes]) -> Run:
    return Run(
        topic,
        [
            SimpleNamespace(key=key.encode(), headers=(("traceparent", value),))
            for key, value in records
        ],
    )


def reward(request_id: str = "a", **more: Any) -> Reward:
    own = {"predicted_at_ms": 1_000, "labelled_at_ms": 3_500, "attributed_at_ms": 3_500}
    return Reward(request_id=request_id, route="r", arm="b", reward=1.0, **own, **more)


def message(kind: Any = "rollback") -> ControlMessage:
    return ControlMessage(
        route="r",
        kind=kind,
        epoch=2,
        seq=9,
        weights={"a": 1.0},
        safe_weights={"a": 1.0},
        champion="a",
        salt="s",
        state_digest="d",
        ttl_ms=1_000,
        issued_at_ms=1,
        cause={"why": "guard", "arm": "b"},
    )


class Sent:
    """A provider that keeps what is sent."""

    def __init__(self) -> None:
        self.kept = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.kept))
        self.spans = Spans(provider=provider)

    def end(self, traced: Any, error: Exception | None = None) -> list[ReadableSpan]:
        """End a transaction; return the spans that were sent."""

        async def work() -> None:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            traced.end_with(done)
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
            await asyncio.sleep(0)

        asyncio.run(work())
        return list(self.kept.get_finished_spans())


def ids(span: ReadableSpan) -> tuple[int, int | None, list[int]]:
    """Its trace, its parent's span, and the traces of its links."""
    assert span.context is not None
    above = None if span.parent is None else span.parent.span_id
    return span.context.trace_id, above, [link.context.trace_id for link in span.links]


@pytest.mark.parametrize("turn", [1, -1], ids=["prediction first", "label first"])
def test_a_reward_lies_in_the_trace_of_its_request_with_a_link_to_its_label(turn: int) -> None:
    halves = [run(PREDICTIONS, ("a", parent(7, 70))), run(LABELS, ("a", parent(8, 80)))][::turn]
    sent = Sent()
    traces = RewardTraces(sent.spans)
    for one in halves:
        traced = traces.begin([one], PREDICTIONS)
    [(name, value)] = traced.headers(reward())
    [span] = sent.end(traced)
    assert ids(span) == (7, 70, [8])
    assert span.context is not None
    assert (name, value) == ("traceparent", parent(7, span.context.span_id))
    assert dict(span.attributes or {}) == {
        "leverframe.route": "r",
        "leverframe.arm": "b",
        "leverframe.request_id": "a",
        "leverframe.cause": "label",
        "leverframe.label_delay_ms": 2_500,
        "leverframe.reward": 1.0,
    }


def test_where_the_label_alone_has_a_trace_the_reward_lies_below_it() -> None:
    sent = Sent()
    traced = RewardTraces(sent.spans).begin([run(LABELS, ("a", parent(8, 80)))], PREDICTIONS)
    traced.headers(reward())
    [span] = sent.end(traced)
    assert ids(span) == (8, 80, [])


@pytest.mark.parametrize(
    ("value", "one"),
    [
        (parent(7, flags="00"), reward()),
        (b"nonsense", reward()),
        (parent(0), reward()),
        (parent(7), reward("another")),
        (parent(7), reward(served=False)),
    ],
    ids=["not sampled", "unreadable", "no trace", "another request", "in shadow"],
)
def test_nothing_is_begun_without_a_trace_that_is_kept(value: bytes, one: Reward) -> None:
    sent = Sent()
    traced = RewardTraces(sent.spans).begin([run(PREDICTIONS, ("a", value))], PREDICTIONS)
    assert traced.headers(one) == []
    assert sent.end(traced) == []


def test_what_waits_is_bounded_the_oldest_goes_first() -> None:
    sent = Sent()
    traces = RewardTraces(sent.spans, most_waiting=2)
    traces.begin([run(PREDICTIONS, *[(name, parent(9)) for name in "abc"])], PREDICTIONS)
    traced = traces.begin()
    assert [bool(traced.headers(reward(name))) for name in "abc"] == [False, True, True]


def test_a_transaction_that_fails_is_told() -> None:
    sent = Sent()
    traced = RewardTraces(sent.spans).begin([run(LABELS, ("a", parent(8)))], PREDICTIONS)
    traced.headers(reward())
    [span] = sent.end(traced, RuntimeError("fenced"))
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "fenced"


def test_a_decision_links_to_the_newest_rewards_since_the_one_before() -> None:
    sent = Sent()
    traces = ControlTraces(sent.spans)
    many = [("r", parent(at + 1)) for at in range(MOST_LINKS + 3)]
    traces.read([run(REWARDS, *many), run("traffic", ("r", parent(999)))], REWARDS)
    traced = traces.begin()
    assert traced.headers(message("heartbeat")) == []
    assert len(traced.headers(message())) == 1
    assert traced.headers(message("routing")) == []
    [span] = sent.end(traced)
    trace, above, links = ids(span)
    assert above is None
    assert trace not in links
    assert links == list(range(4, MOST_LINKS + 4))
    assert span.name == "rollback"
    assert (span.attributes or {})["leverframe.why"] == "guard"


def test_another_route_has_no_part_in_it() -> None:
    sent = Sent()
    traces = ControlTraces(sent.spans)
    traces.read([run(REWARDS, ("other", parent(1)))], REWARDS)
    assert traces.begin().headers(message()) == []
