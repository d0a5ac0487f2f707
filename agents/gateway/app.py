"""The gateway as an ASGI application: reads requests, asks the pure parts, sends their answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from leverframe.agents.gateway.answers import Answer, problem
from leverframe.agents.gateway.calls import Calls
from leverframe.agents.gateway.feedback import Refused
from leverframe.agents.gateway.guarding import Guard
from leverframe.agents.gateway.metrics import GatewayMetrics
from leverframe.agents.gateway.notices import Notices
from leverframe.serving.tasks import end_task
from leverframe.streams.runtime.logger import make_logger

__all__ = ["EVENTS", "GatewayApp"]

log = make_logger(__name__)

EVENTS: Final = "/ofrep/v1/events"
_FLAGS: Final = "/ofrep/v1/evaluate/flags"
_FLAG: Final = _FLAGS + "/"
# Asked for by address and without a token, by what watches over the process.
_OPEN: Final = frozenset({"/health/live", "/health/ready", "/metrics", "/openapi.json"})
_STREAM_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
_RETRY_S: Final = 1

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Handle = Callable[[Scope, Mapping[bytes, bytes], bytes], Awaitable[Answer]]

# Method, name in the metrics, what answers; the hot path is not asked by the table.
_EVALUATE: Final[tuple[str, str, Handle | None]] = ("POST", "evaluate", None)
_NONE: Final[tuple[str, str, Handle | None]] = ("", "unknown", None)


class GatewayApp:
    """Finds the call of a path, and who may make it.

    Parameters
    ----------
    calls : Calls
        What is answered.
    guard : Guard
        Who may ask.
    notices : Notices
        Of the event streams.
    metrics : GatewayMetrics
        Where answers are counted.
    max_body_bytes : int
        Largest request.
    max_streams : int
        Most clients of the event stream.
    """

    def __init__(
        self,
        calls: Calls,
        guard: Guard,
        notices: Notices,
        metrics: GatewayMetrics,
        max_body_bytes: int,
        max_streams: int,
    ) -> None:
        self._calls = calls
        self._guard = guard
        self._notices = notices
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._max_streams = max_streams
        self._fixed: dict[str, tuple[str, str, Handle | None]] = {
            _FLAGS: ("POST", "evaluate_all", calls.evaluate_all),
            "/v1/predictions": ("POST", "predictions", calls.predictions),
            "/v1/labels": ("POST", "labels", calls.labels),
            "/health/live": ("GET", "health", calls.live),
            "/health/ready": ("GET", "health", calls.ready),
            "/metrics": ("GET", "metrics", calls.metrics),
            "/openapi.json": ("GET", "openapi", calls.openapi),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not spoken here")
        began_s = time.perf_counter()
        headers = dict(scope["headers"])
        path = scope["path"]
        if path == EVENTS:
            await self._stream(scope, headers, receive, send)
            return
        call, answer = await self._answer(path, scope, headers, receive)
        await _send(send, answer, is_head=scope["method"] == "HEAD")
        self._metrics.count_request(call, answer.status, time.perf_counter() - began_s)

    async def _answer(
        self, path: str, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive
    ) -> tuple[str, Answer]:
        if path not in _OPEN and (refusal := self._guard.refusal(headers)) is not None:
            return "refused", refusal
        method, call, handle = _EVALUATE if path.startswith(_FLAG) else self._fixed.get(path, _NONE)
        if not method:
            return call, _no_such_path(path)
        if scope["method"] != method and (method, scope["method"]) != ("GET", "HEAD"):
            return call, _wrong_method(scope["method"], method)
        try:
            return call, await self._called(handle, path, scope, headers, receive)
        except Refused as refused:
            return call, refused.answer
        except Exception:
            log.exception("gateway_failed", message=f"no answer to {call}")
            return call, _failed()

    async def _called(
        self,
        handle: Handle | None,
        path: str,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        receive: Receive,
    ) -> Answer:
        body = await _body(headers, receive, self._max_body_bytes)
        if handle is None:
            return self._calls.evaluate(path[len(_FLAG) :], body)
        return await handle(scope, headers, body)

    async def _stream(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        refusal = self._stream_refusal(scope, headers)
        if refusal is not None:
            await _send(send, refusal, is_head=False)
            self._metrics.count_request("events", refusal.status, 0.0)
            return
        known = headers.get(b"last-event-id", b"").decode("latin-1")
        telling = asyncio.create_task(self._tell(known, send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_task(telling)
            await end_task(leaving)
        self._metrics.count_request("events", 200, 0.0)

    def _stream_refusal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Answer | None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        refusal = self._guard.refusal(headers)
        if refusal is not None and refusal.status == 401:
            if not self._guard.has_ticket(query.get("ticket", [""])[0]):
                return refusal
        elif refusal is not None:
            return refusal
        if scope["method"] != "GET":
            return _wrong_method(scope["method"], "GET")
        if self._notices.followers >= self._max_streams:
            return problem(
                503,
                "too many streams",
                f"{self._max_streams} clients follow already",
                "ask again later, poll meanwhile, or raise gateway.max_streams",
                retry_s=_RETRY_S,
            )
        return None

    async def _tell(self, known: str, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        async for part in self._notices.follow(known):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(headers: Mapping[bytes, bytes], receive: Receive, most_bytes: int) -> bytes:
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > most_bytes:
        raise Refused(_too_large(most_bytes))
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(_cut_off())
        part: bytes = message.get("body", b"")
        body = body + part if body else part
        if len(body) > most_bytes:
            raise Refused(_too_large(most_bytes))
        if not message.get("more_body", False):
            return body


async def _send(send: Send, answer: Answer, *, is_head: bool) -> None:
    headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else answer.body})


def _too_large(most_bytes: int) -> Answer:
    return problem(
        413,
        "the request is too large",
        f"at most {most_bytes} bytes are read",
        "send it in several requests, or raise gateway.max_body_bytes",
        headers=[(b"connection", b"close")],
    )


def _failed() -> Answer:
    told = "this request met a mistake of ours"
    cure = "send it again; where it lasts, the gateway's log has the trace"
    return problem(500, told, "it may have had its effect", cure, errorDetails=f"{told}; {cure}")


def _cut_off() -> Answer:
    return problem(400, "the request was cut off", "its body ended early", "send it again")


def _no_such_path(path: str) -> Answer:
    return problem(
        404, "no such path", f"nothing is at {path!r:.200}", "see /openapi.json for all of them"
    )


def _wrong_method(method: str, right: str) -> Answer:
    return problem(
        405,
        "not by this method",
        f"{method} is not answered here",
        f"use {right}",
        headers=[(b"allow", right.encode())],
    )
