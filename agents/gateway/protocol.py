"""HTTP/1.1 by httptools, also for clients that offer to speak HTTP/2.

Java's own client sends ``Upgrade: h2c`` with the first request of each connection. A server may
ignore that; httptools does not read such a request's body instead, and uvicorn answers as if there
were none. Here the request is read once more without the offer. Lift this when uvicorn does it.
"""

import sys
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["PlainHttp"]

_OFFERS: Final = frozenset({b"connection", b"upgrade", b"http2-settings"})


class PlainHttp(HttpToolsProtocol):
    """Leaves offers of other protocols out, and goes on with what follows them."""

    _received = b""

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        self._received = data
        super().data_received(data)

    def _should_upgrade(self) -> bool:
        """Let uvicorn hand over to the method below, whatever is offered."""
        return True

    def handle_websocket_upgrade(self) -> None:
        """Read the request again, as if nothing had been offered."""
        if self.parser.get_method() == b"CONNECT":  # an offer by its nature, whatever is left out
            self.send_400_response("CONNECT is not answered here: this is no proxy")
            return
        offset = _offset(sys.exc_info()[1])
        kept = [(name, value) for name, value in self.scope["headers"] if name not in _OFFERS]
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/1.1\r\n"]
        head += [part for name, value in kept for part in (name, b": ", value, b"\r\n")]
        rest = self._received[offset:]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"".join([*head, b"\r\n", rest]))


def _offset(error: Any) -> int:
    """Return where the parser stopped: behind the head of the request."""
    return int(error.args[0])
