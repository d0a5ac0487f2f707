"""Follows traces through the job: from predictions and labels to rewards, and on to control.

What is remembered lies in memory alone and is bounded: a request that waits over a restart, or
while ``MOST_WAITING`` later ones with a sampled trace come, gets its reward without a span.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Protocol, TypeAlias

from leverframe.schemas.control import ControlMessage
from leverframe.schemas.reward import Reward
from leverframe.schemas.trace_context import TRACE_PARENT, sampled_parent
from leverframe.streams.runtime.runs import Run

__all__ = [
    "MOST_LINKS",
    "MOST_ROUTES",
    "MOST_WAITING",
    "Attributes",
    "ControlTraces",
    "Header",
    "Opened",
    "Opening",
    "RewardTraces",
    "TracedControl",
    "TracedRewards",
]

MOST_WAITING: Final = 50_000
MOST_LINKS: Final = 64
MOST_ROUTES: Final = 1_000

Attributes: TypeAlias = Mapping[str, str | int | float | bool]
Header: TypeAlias = tuple[str, bytes]


class Opened(Protocol):
    """A span that has begun; ``parent`` is the ``traceparent`` of what comes of it."""

    parent: bytes

    def end(self, error: BaseException | None) -> None:
        """End it."""


class Opening(Protocol):
    """Begins spans (``agents.telemetry.spans``)."""

    def begin(
        self,
        name: str,
        attributes: Attributes,
        *,
        parent: bytes | None = None,
        links: Iterable[bytes] = (),
    ) -> Opened:
        """Begin one."""


class _Transaction:
    """Spans of the records of one transaction, which end with it."""

    def __init__(self, spans: Opening) -> None:
        self._spans = spans
        self._open: list[Opened] = []

    def end_with(self, durable: "asyncio.Future[None]") -> None:
        """End all once the transaction is durable, or has failed."""
        if self._open:
            durable.add_done_callback(self._end)

    def _end(self, done: "asyncio.Future[None]") -> None:
        error = None if done.cancelled() else done.exception()
        for span in self._open:
            span.end(error)

    def _begin(
        self,
        name: str,
        attributes: Attributes,
        parent: bytes | None,
        links: Iterable[bytes],
    ) -> list[Header]:
        span = self._spans.begin(name, attributes, parent=parent, links=links)
        self._open.append(span)
        return [(TRACE_PARENT, span.parent)]


class TracedRewards(_Transaction):
    """Of the rewards of one transaction: a span for each whose request has a trace.

    It is below the prediction's span, and so in the trace of the request, with a link to the
    label's; where the label alone is known, below that. Answers in shadow have none.
    """

    def __init__(
        self, spans: Opening, predictions: Mapping[str, bytes], labels: Mapping[str, bytes]
    ) -> None:
        super().__init__(spans)
        self._predictions = predictions
        self._labels = labels

    def headers(self, reward: Reward) -> list[Header]:
        """Begin the span of a reward; return the headers of its record."""
        prediction = self._predictions.get(reward.request_id)
        label = self._labels.get(reward.request_id)
        parent = prediction or label
        if parent is None or not reward.served:
            return []
        told: dict[str, str | int | float | bool] = {
            "leverframe.route": reward.route,
            "leverframe.arm": reward.arm,
            "leverframe.request_id": reward.request_id,
            "leverframe.cause": reward.cause,
            "leverframe.label_delay_ms": reward.labelled_at_ms - reward.predicted_at_ms,
        }
        if reward.reward is not None:
            told["leverframe.reward"] = reward.reward
        links = () if label is None or label == parent else (label,)
        return self._begin("reward", told, parent, links)


class RewardTraces:
    """What a worker's join remembers: the traces of both halves, whichever comes first."""

    def __init__(self, spans: Opening, most_waiting: int = MOST_WAITING) -> None:
        self._spans = spans
        self._most_waiting = most_waiting
        self._predictions: dict[str, bytes] = {}
        self._labels: dict[str, bytes] = {}

    def begin(self, runs: Iterable[Run] = (), predictions: str = "") -> TracedRewards:
        """Begin a transaction on these records; ``predictions`` is the name of their topic."""
        for run in runs:
            known = self._predictions if run.topic == predictions else self._labels
            for request_id, parent in _parents(run):
                known[request_id] = parent
            _forget(known, self._most_waiting)
        return TracedRewards(self._spans, self._predictions, self._labels)


class TracedControl(_Transaction):
    """Of the control messages of one transaction: a span for each that has traces behind it.

    It has a trace of its own, with links to the newest rewards since the message before, since
    many requests lead to one decision.
    """

    def __init__(self, spans: Opening, since: dict[str, deque[bytes]]) -> None:
        super().__init__(spans)
        self._since = since

    def headers(self, message: ControlMessage) -> list[Header]:
        """Begin the span of a message; return the headers of its record."""
        links = None if message.kind == "heartbeat" else self._since.pop(message.route, None)
        if not links:
            return []
        told: dict[str, str | int | float | bool] = {
            "leverframe.route": message.route,
            "leverframe.kind": message.kind,
            "leverframe.why": str(message.cause.get("why", "")),
            "leverframe.epoch": message.epoch,
            "leverframe.seq": message.seq,
        }
        if (arm := message.cause.get("arm")) is not None:
            told["leverframe.arm"] = str(arm)
        return self._begin(message.kind, told, None, links)


class ControlTraces:
    """What a worker's routes remember: the traces of rewards since their newest message."""

    def __init__(self, spans: Opening) -> None:
        self._spans = spans
        self._since: dict[str, deque[bytes]] = {}

    def read(self, runs: Iterable[Run], rewards: str) -> None:
        """Remember the traces of the topic named ``rewards``."""
        for run in runs:
            if run.topic == rewards:
                for route, parent in _parents(run):
                    self._since.setdefault(route, deque(maxlen=MOST_LINKS)).append(parent)
        _forget(self._since, MOST_ROUTES)

    def begin(self) -> TracedControl:
        """Begin a transaction."""
        return TracedControl(self._spans, self._since)


def _parents(run: Run) -> Iterator[tuple[str, bytes]]:
    for record in run.records:
        if record.headers and record.key and (parent := sampled_parent(record.headers)):
            yield record.key.decode(errors="replace"), parent


def _forget(known: dict[str, Any], most: int) -> None:
    """Leave out what came first, beyond so many."""
    for oldest in list(islice(known, max(0, len(known) - most))):
        del known[oldest]
