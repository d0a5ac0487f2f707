"""Asks the worker or the gateway of this container whether it lives; the exit code says it."""

import os
import ssl
import sys
import urllib.request
from collections.abc import Mapping

_DEFAULTS = {
    "worker": ("LEVERFRAME_APP__WEB_PORT", "6066"),
    "gateway": ("LEVERFRAME_GATEWAY__PORT", "8016"),
}


def address(part: str, environment: Mapping[str, str]) -> str:
    """Return where a part answers.

    Examples
    --------
    >>> address("worker", {"LEVERFRAME_APP__WEB_PORT": "7000"})
    'http://127.0.0.1:7000/health/live'
    >>> address("gateway", {"LEVERFRAME_GATEWAY__CERT_FILE": "/tls.crt"})
    'https://127.0.0.1:8016/health/live'
    """
    name, port = _DEFAULTS[part]
    is_tls = part == "gateway" and environment.get("LEVERFRAME_GATEWAY__CERT_FILE")
    scheme = "https" if is_tls else "http"
    return f"{scheme}://127.0.0.1:{environment.get(name, port)}/health/live"


def main() -> None:
    """End with 0 where it answers, with 1 and the reason where it does not."""
    where = address(sys.argv[1], os.environ)
    # The certificate names another host than loopback; nothing secret is sent.
    unverified = ssl._create_unverified_context()  # noqa: S323, SLF001
    try:
        with urllib.request.urlopen(where, timeout=5, context=unverified):  # noqa: S310
            pass
    except OSError as error:
        sys.exit(f"{where} does not answer: {error}")


if __name__ == "__main__":
    main()
