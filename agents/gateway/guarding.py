"""Who may ask: no browser that another site led here, nobody without the token; pure."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from leverframe.agents.gateway.answers import Answer, problem
from leverframe.agents.gateway.settings import GatewaySettings

__all__ = ["Guard"]

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_TICKET_CHARS: Final = 32


class Guard:
    """Checks names and tokens.

    Parameters
    ----------
    settings : GatewaySettings
        Its hosts and tokens.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._tokens = settings.tokens
        is_open = not settings.is_loopback and not settings.hosts
        self._hosts = None if is_open else _LOOPBACK.union(settings.hosts)

    def refusal(self, headers: Mapping[bytes, bytes]) -> Answer | None:
        """Say why a request is refused; None if it is not."""
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            return problem(
                421,
                "this server has another name",
                f"it is not called {host!r:.200}",
                "ask it by a name of gateway.hosts, or add this one",
            )
        if self._tokens and not self._is_known(_shown(headers)):
            return _without_token()
        return None

    def ticket(self) -> str:
        """Return what opens the event stream alone, for clients that can send no headers."""
        if not self._tokens:
            return ""
        return _ticket_of(self._tokens[0])

    def has_ticket(self, ticket: str) -> bool:
        """Whether a ticket is one of ours."""
        given = ticket.encode("utf-8", "replace")
        return any(hmac.compare_digest(given, _ticket_of(t).encode()) for t in self._tokens)

    def _is_known(self, shown: bytes) -> bool:
        return any(hmac.compare_digest(shown, token) for token in self._tokens)


def _ticket_of(token: bytes) -> str:
    return hmac.new(token, b"event stream", hashlib.sha256).hexdigest()[:_TICKET_CHARS]


def _shown(headers: Mapping[bytes, bytes]) -> bytes:
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return given.strip()
    return headers.get(b"x-api-key", b"")


def _without_token() -> Answer:
    return problem(
        401,
        "the token is missing or wrong",
        "this gateway answers those who show its token",
        "send Authorization: Bearer TOKEN, or X-API-Key: TOKEN, with what gateway.token says",
        headers=[(b"www-authenticate", b"Bearer")],
    )


def _host_name(host: str) -> str:
    """Without the port; an IPv6 address without its brackets.

    Examples
    --------
    >>> _host_name("[::1]:8016"), _host_name("localhost:8016"), _host_name("localhost")
    ('::1', 'localhost', 'localhost')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if port.isdigit() else host
