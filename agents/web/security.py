"""Who may talk to the web server: no browser that another site led here, no stranger may act."""

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from leverframe.agents.settings import AppSettings

__all__ = ["SECURITY_HEADERS", "RefusedError", "answer", "guarded", "require_token"]

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
# Asked for by address, by what watches over the process; they tell nothing that could be abused.
_ASKED_BY_ADDRESS: Final = ("/health/", "/metrics")
_REFUSAL_S: Final = 1.0


class RefusedError(Exception):
    """A request that cannot be answered.

    Parameters
    ----------
    status : int
        Of HTTP.
    why : str
        One sentence for the person who asked.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def answer(document: Any, status: int = 200) -> web.Response:
    """Return an answer as JSON that no cache keeps."""
    return web.Response(
        body=orjson.dumps(document),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(app: AppSettings) -> Any:
    """Return the middleware that every request goes through.

    A name that an attacker's name server points at loopback is refused (DNS rebinding): on
    loopback only loopback's own names are answered, and ``web_hosts``.
    """

    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _is_refused(request.host, request.path, app):
            why = f"this server is not called {request.host!r}; see app.web_hosts"
            return answer({"error": why}, 421)
        try:
            return await handler(request)
        except RefusedError as error:
            return answer({"error": str(error)}, error.status)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await answered(request, handler)
        except web.HTTPException as error:
            error.headers.update(SECURITY_HEADERS)
            raise
        if not response.prepared:
            response.headers.update(SECURITY_HEADERS)
        return response

    return middleware


def _is_refused(host: str, path: str, app: AppSettings) -> bool:
    is_loopback = _is_loopback(app.web_bind)
    if _host_name(host) in _LOOPBACK.union(app.web_hosts) or not (is_loopback or app.web_hosts):
        return False
    return is_loopback or not path.startswith(_ASKED_BY_ADDRESS)


def _is_loopback(address: str) -> bool:
    if address in _LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """Without the port; an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host


async def require_token(headers: Mapping[str, str], host: str, tokens: Mapping[str, str]) -> str:
    """Return whose token a command has: from this page, by a person who knows one of ``tokens``.

    The token travels in a header that no other site's page can set, and is in no cookie: a forged
    request of another site has none. A wrong token costs a second.

    Raises ``RefusedError``: with the reason.
    """
    if not tokens:
        raise RefusedError(
            403,
            "actions are switched off: set app.web_token (LEVERFRAME_APP__WEB_TOKEN), or a token "
            "of an actor",
        )
    origin = headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise RefusedError(403, f"this page was not served here but by {origin}")
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    said = given.encode("utf-8", "surrogateescape")
    # Every pair is compared, so that the time says nothing.
    found = [name for token, name in tokens.items() if hmac.compare_digest(said, token.encode())]
    if scheme.lower() != "bearer" or not found:
        await asyncio.sleep(_REFUSAL_S)
        raise RefusedError(
            403, "the token is wrong; it is what app.web_token says, or that of an actor"
        )
    return found[0]
