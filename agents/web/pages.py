"""The web server's pages and its JSON interface (docs/dashboard.md)."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web
from msgspec import Struct

from leverframe.agents.operator.commands import ask
from leverframe.agents.settings import Settings
from leverframe.agents.web.attention import Level
from leverframe.agents.web.events import or_silence, send
from leverframe.agents.web.feed import Feed
from leverframe.agents.web.history import RouteHistory
from leverframe.agents.web.security import (
    SECURITY_HEADERS,
    RefusedError,
    answer,
    guarded,
    require_token,
)
from leverframe.agents.web.summary import detail, summary
from leverframe.schemas.codec import encode
from leverframe.schemas.command import Action
from leverframe.schemas.errors import BrokerError, LeverframeError
from leverframe.schemas.fields import ArmName, RouteName
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.topology import DAY_MS

__all__ = ["add_dashboard", "add_health", "protect"]

log = make_logger()

_STATIC: Final = Path(__file__).parent / "static"
_MOST_EXPLAINED: Final = 30
_ANSWER_S: Final = 15.0
_ACKS_S: Final = 3.0
_KEEP_ALIVE_S: Final = 10.0
_FRESH_MARKS: Final = 50


class Asked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A command as the page sends it.

    Attributes
    ----------
    route, action, arm
        As in ``schemas.command.Command``.
    actor : str
        Who presses.
    yes : bool
        Whether they were warned of what takes over, and want it all the same.
    """

    route: RouteName
    action: Action
    arm: ArmName | None = None
    actor: str
    yes: bool = False


def protect(app: web.Application, settings: Settings) -> None:
    """Send every request through the guard.

    Parameters
    ----------
    app : web.Application
        Not yet running.
    settings : Settings
        Of the application.
    """
    app.middlewares.append(guarded(settings.app))


def add_health(app: web.Application, why_not_ready: Callable[[], str | None]) -> None:
    """Add ``/health/live`` and ``/health/ready``.

    Parameters
    ----------
    app : web.Application
        Not yet running.
    why_not_ready : callable
        None where this worker does its work.
    """

    async def live(_: web.Request) -> web.Response:
        return answer({"status": "alive"})

    async def ready(_: web.Request) -> web.Response:
        why = why_not_ready()
        if why is None:
            return answer({"status": "ready"})
        return answer({"status": "not ready", "why": why}, status=503)

    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)


def add_dashboard(app: web.Application, feed: Feed, settings: Settings) -> None:
    """Add the page, what it reads, and the commands that it may send.

    Parameters
    ----------
    app : web.Application
        Not yet running.
    feed : Feed
        Of the control topic.
    settings : Settings
        Of the application.
    """
    pages = _Pages(feed, settings)
    app.on_shutdown.append(feed.close)
    app.router.add_get("/", pages.index)
    app.router.add_static("/static/", _STATIC, append_version=False)
    app.router.add_get("/api/routes", pages.routes)
    app.router.add_get("/api/route", pages.route)
    app.router.add_get("/api/explain", pages.explain)
    app.router.add_get("/api/changes", pages.changes)
    app.router.add_post("/api/command", pages.command)


class _Pages:
    """Handlers, over what the feed knows."""

    def __init__(self, feed: Feed, settings: Settings) -> None:
        self._feed = feed
        self._settings = settings

    async def index(self, _: web.Request) -> web.StreamResponse:
        """The one page; what it shows is up to its script."""
        return web.FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def routes(self, _: web.Request) -> web.Response:
        """All routes, those that need a look first."""
        now_ms = _now_ms()
        lines = [
            summary(known, now_ms, self._feed.lost) for known in self._feed.history.routes.values()
        ]
        lines.sort(key=lambda line: (-Level[line["level"]], line["route"]))
        return answer(self._now(now_ms) | {"routes": lines})

    async def route(self, request: web.Request) -> web.Response:
        """One route with its history."""
        known = self._known(request)
        now_ms = _now_ms()
        since_ms = _whole(request, "since_ms", now_ms - DAY_MS)
        return answer(
            self._now(now_ms)
            | {
                "detail": detail(known, now_ms, self._feed.lost),
                "history": known.columns(since_ms),
                "marks": _built(known),
            }
        )

    async def explain(self, request: web.Request) -> web.Response:
        """Why the weights of a route were what they were."""
        known = self._known(request)
        until_ms = _whole(request, "at_ms", None)
        last = min(_MOST_EXPLAINED, max(1, _whole(request, "last", 1)))
        changes = [
            {
                "sentences": lines,
                "moved": change.moved,
                "message": orjson.Fragment(encode(change.message)),
            }
            for change, lines in known.explained(until_ms, last)
        ]
        return answer({"changes": changes})

    async def changes(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the routes that changed, with the detail of the one that is shown."""
        shown = request.query.get("name")
        stream = web.StreamResponse(
            headers={
                **SECURITY_HEADERS,
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                # A proxy that gathers events (nginx does) would show nothing for minutes.
                "X-Accel-Buffering": "no",
            }
        )
        await stream.prepare(request)
        with suppress(ConnectionError, TimeoutError):
            try:
                await self._tell(stream, shown)
            except LeverframeError as error:
                await send(stream, "refused", {"error": str(error)})
        return stream

    async def _tell(self, stream: web.StreamResponse, shown: str | None) -> None:
        since_ms: int | None = None
        async for changed in or_silence(self._feed.changes(), _KEEP_ALIVE_S):
            now_ms, routes = _now_ms(), self._feed.history.routes
            # Also what merely passes changes what needs a look: silence, a rollback an hour ago.
            names = changed or routes.keys()
            lines = [
                summary(routes[name], now_ms, self._feed.lost) for name in names if name in routes
            ]
            event = self._now(now_ms) | {"routes": lines}
            if shown in names and shown in routes:
                known = routes[shown]
                event["detail"] = detail(known, now_ms, self._feed.lost)
                # From the newest point that was sent: it may have been replaced meanwhile.
                event["history"] = known.columns(known.newest_ms if since_ms is None else since_ms)
                event["marks"] = _built(known)[-_FRESH_MARKS:]
                since_ms = known.newest_ms
            await send(stream, "routes", event)

    async def command(self, request: web.Request) -> web.Response:
        """Send a command as the command line does, and wait for its answer."""
        try:
            signed_in = await require_token(request.headers, request.host, self._tokens)
        except RefusedError:
            log.warning(
                "web_command_refused", message=f"a command from {request.remote} was refused"
            )
            raise
        asked = await _asked(request)
        try:
            outcome = await ask(
                self._settings,
                asked.route,
                asked.action,
                arm=asked.arm,
                params={"yes": True} if asked.yes else None,
                actor=signed_in or f"{asked.actor.strip()[:100] or 'somebody'} (dashboard)",
                timeout_s=_ANSWER_S,
                acks_s=_ACKS_S,
            )
        except LeverframeError as error:
            raise RefusedError(
                502 if isinstance(error, BrokerError) else 409, str(error)
            ) from error
        return answer(
            {
                "message": orjson.Fragment(encode(outcome.message)),
                "replicas": outcome.message.cause.get("replicas", []),
                "behind": outcome.behind,
                "applied_in_ms": outcome.applied_in_ms,
            }
        )

    @property
    def _tokens(self) -> dict[str, str]:
        """Tokens that may command, and whose they are; nobody's is that of the settings."""
        actors = {one.token: name for name, one in self._settings.actors.items() if one.token}
        own = self._settings.app.web_token
        return actors | ({own: ""} if own else {})

    def _known(self, request: web.Request) -> RouteHistory:
        name = request.query.get("name", "")
        known = self._feed.history.routes.get(name)
        if known is None:
            raise RefusedError(404, f"nothing was published for route {name!r} yet")
        return known

    def _now(self, now_ms: int) -> dict[str, Any]:
        return {
            "app": self._settings.app.id,
            "now_ms": now_ms,
            "share_read": round(self._feed.share_read, 3),
            "actions": bool(self._tokens),
        }


def _built(known: RouteHistory) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(mark) for mark in known.marks]


async def _asked(request: web.Request) -> Asked:
    if request.content_type != "application/json":
        raise RefusedError(415, "a command is JSON")
    try:
        return msgspec.json.decode(await request.read(), type=Asked)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(400, f"not a command: {error}") from error


def _whole(request: web.Request, name: str, default: Any) -> Any:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise RefusedError(400, f"{name} must be a whole number, not {text!r}")
    return int(text)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
