"""What each path of the gateway does: the pure parts, given the state of the process."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from msgspec import Struct

from leverframe.agents.gateway.answers import Answer, as_json
from leverframe.agents.gateway.evaluation import evaluate, evaluate_all
from leverframe.agents.gateway.feedback import Limits, Written, read_labels, read_predictions
from leverframe.agents.gateway.metrics import METRICS_TYPE, GatewayMetrics
from leverframe.agents.gateway.notices import Notices
from leverframe.agents.gateway.openapi import openapi_document
from leverframe.agents.gateway.revision import Revision
from leverframe.agents.gateway.writer import Writer
from leverframe.schemas.trace_context import TRACE_PARENT, TRACE_STATE
from leverframe.serving.subscriber import Subscriber
from leverframe.streams.topology import Topics

__all__ = ["Calls", "Terms"]

Scope = Mapping[str, Any]
Headers = Mapping[bytes, bytes]

# A client was told of a change by another replica: ours is on its way, too.
_CATCH_UP_S: Final = 0.5


class Terms(Struct, frozen=True, kw_only=True):
    """What stays as long as the process.

    Attributes
    ----------
    topics : Topics
        Names of the topics.
    limits : Limits
        Of records.
    events : str or None
        Path of the event stream, as clients are told; None where there is none.
    needs_token : bool
        Whether callers have to show a token.
    """

    topics: Topics
    limits: Limits
    events: str | None
    needs_token: bool


class Calls:
    """The calls, in the order of the description at ``/openapi.json``.

    Parameters
    ----------
    subscriber : Subscriber
        Of ``control``.
    revision : Revision
        What all its routes have in force.
    notices : Notices
        Of the event streams.
    writer : Writer
        Of predictions and labels.
    metrics : GatewayMetrics
        Their page.
    terms : Terms
        What stays.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        revision: Revision,
        notices: Notices,
        writer: Writer,
        metrics: GatewayMetrics,
        terms: Terms,
    ) -> None:
        self._subscriber = subscriber
        self._table = subscriber.table
        self._revision = revision
        self._notices = notices
        self._writer = writer
        self._metrics = metrics
        self._terms = terms
        self.is_stopping = False

    def evaluate(self, route: str, body: bytes) -> Answer:
        """Which arm a unit has on a route."""
        return evaluate(self._table, route, body)

    async def evaluate_all(self, scope: Scope, headers: Headers, body: bytes) -> Answer:
        """Which arms a unit has on all routes; later, where a change is about to arrive."""
        if told := parse_qs(scope["query_string"].decode("latin-1")).get("flagConfigEtag"):
            await self._notices.reached(told[0], _CATCH_UP_S)
        known = headers.get(b"if-none-match")
        tag = None if known is None else known.decode("latin-1")
        steps = evaluate_all(self._table, self._revision.text, body, tag, self._terms.events)
        while True:
            try:
                next(steps)
            except StopIteration as ended:
                answer: Answer = ended.value
                return answer
            await asyncio.sleep(0)

    async def predictions(self, scope: Scope, headers: Headers, body: bytes) -> Answer:
        """Write predictions."""
        del scope
        topic = self._terms.topics.predictions
        return await self._write("predictions", topic, read_predictions, headers, body)

    async def labels(self, scope: Scope, headers: Headers, body: bytes) -> Answer:
        """Write labels."""
        del scope
        topic = self._terms.topics.ground_truth
        return await self._write("ground-truth", topic, read_labels, headers, body)

    async def _write(
        self,
        kind: str,
        topic: str,
        read: Callable[[bytes, str, Limits], list[Written]],
        headers: Headers,
        body: bytes,
    ) -> Answer:
        media = headers.get(b"content-type", b"").decode("latin-1")
        records = read(body, media, self._terms.limits)
        traced = [
            (name, value)
            for name in (TRACE_PARENT, TRACE_STATE)
            if (value := headers.get(name.encode())) is not None
        ]
        await self._writer.write(topic, records, traced)
        self._metrics.count_records(kind, len(records))
        return as_json(202, {"accepted": len(records)})

    async def live(self, scope: Scope, headers: Headers, body: bytes) -> Answer:
        """Answer at all."""
        del scope, headers, body
        return as_json(200, {"status": "live"})

    async def ready(self, scope: Scope, headers: Headers, body: bytes) -> Answer:
        """Say whether requests should come here.

        Safe weights are no reason against it: they hold on every replica, or on none.
        """
        del scope, headers, body
        states = [self._table.in_force(route) for route in self._table.routes]
        stale = sum(state is not None and state.is_fallback for state in states)
        told = {"routes": len(states), "stale_routes": stale}
        if self.is_stopping:
            return as_json(503, {"status": "stopping", **told})
        return as_json(200, {"status": "ready", **told})

    async def metrics(self, scope: Scope, headers: Headers, body: bytes) -> Answer:
        """Prometheus' page."""
        del scope, headers, body
        return Answer(200, self._metrics.render(), [(b"content-type", METRICS_TYPE)])

    async def openapi(self, scope: Scope, headers: Headers, body: bytes) -> Answer:
        """Describe all of this."""
        del scope, headers, body
        return as_json(200, openapi_document(needs_token=self._terms.needs_token))
