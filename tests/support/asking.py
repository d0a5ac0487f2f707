"""Asks a gateway without a socket: its ASGI application, with the real parts behind it."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from leverframe.agents.gateway.app import EVENTS, GatewayApp
from leverframe.agents.gateway.calls import Calls, Terms
from leverframe.agents.gateway.feedback import Limits
from leverframe.agents.gateway.guarding import Guard
from leverframe.agents.gateway.metrics import GatewayMetrics
from leverframe.agents.gateway.notices import Notices
from leverframe.agents.gateway.revision import Revision
from leverframe.agents.gateway.settings import GatewaySettings
from leverframe.agents.gateway.writer import Writer
from leverframe.schemas.control import ControlMessage
from leverframe.serving.routing import InForce, RoutingTable
from leverframe.serving.subscriber import Subscriber
from leverframe.streams.topology import Topics


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return orjson.loads(self.body)


def control_message(route: str, weights: Mapping[str, float], **more: Any) -> ControlMessage:
    told: dict[str, Any] = {
        "route": route,
        "epoch": 1,
        "seq": 1,
        "kind": "routing",
        "weights": dict(weights),
        "champion": next(iter(weights), None),
        "safe_weights": {next(iter(weights)): 1.0} if weights else {},
        "ttl_ms": 15_000,
        "issued_at_ms": 0,
        "salt": "5feceb66ffc86f38",
        "cause": {},
        "state_digest": "0" * 16,
    }
    return ControlMessage(**{**told, **more})


class Asked:
    """A gateway that has heard of some routes; ``clock_s`` is its time."""

    def __init__(self, *messages: ControlMessage, **settings: Any) -> None:
        ours = GatewaySettings(**settings)
        self.clock_s = 0.0
        self.subscriber = Subscriber("127.0.0.1:1")
        self.table = self.subscriber.table = RoutingTable([], lambda: self.clock_s)
        self.subscriber.in_force = self.table.in_force
        self.revision, self.notices = Revision(), Notices()
        for message in messages:
            self.hear(message)
        writer = Writer({}, ours.max_waiting_bytes, ours.write_timeout_s)
        metrics = GatewayMetrics(self.subscriber, writer, self.notices)
        calls = Calls(
            self.subscriber,
            self.revision,
            self.notices,
            writer,
            metrics,
            Terms(
                topics=Topics("app"),
                limits=Limits(ours.max_records, 1000),
                events=EVENTS,
                needs_token=bool(ours.tokens),
            ),
        )
        self.guard = Guard(ours)
        self.app = GatewayApp(
            calls, self.guard, self.notices, metrics, ours.max_body_bytes, ours.max_streams
        )

    def hear(self, message: ControlMessage) -> None:
        record = _Record(message.route.encode(), orjson.dumps(_plain(message)))
        assert self.table.offer(record) is not None  # type: ignore[arg-type]
        self.revision.note(InForce(message, is_fallback=False))

    def ask(
        self,
        path: str,
        body: Any = b"",
        method: str = "POST",
        query: str = "",
        **headers: str,
    ) -> Answered:
        text = body if isinstance(body, bytes) else orjson.dumps(body)
        given = {"host": "127.0.0.1:8016", "content-type": "application/json", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in given.items()],
        }
        return asyncio.run(_asked(self.app, scope, text))

    def evaluate(self, route: str, unit: str, **context: Any) -> Any:
        path = f"/ofrep/v1/evaluate/flags/{route}"
        return self.ask(path, {"context": {"targetingKey": unit, **context}}).document


class _Record(NamedTuple):
    key: bytes
    value: bytes
    headers: tuple[()] = ()


def _plain(message: ControlMessage) -> Any:
    import msgspec

    return msgspec.to_builtins(message)


async def _asked(app: GatewayApp, scope: dict[str, Any], body: bytes) -> Answered:
    sent: list[dict[str, Any]] = []
    parts = iter([{"type": "http.request", "body": body}])

    async def receive() -> dict[str, Any]:
        return next(parts, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    whole = b"".join(part.get("body", b"") for part in sent[1:])
    return Answered(sent[0]["status"], headers, whole)
