"""W3C trace context in the headers of records: which trace a record belongs to."""

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["TRACE_PARENT", "TRACE_STATE", "sampled_parent", "trace_headers"]

TRACE_PARENT: Final = "traceparent"
TRACE_STATE: Final = "tracestate"

# Version 00 as the recommendation has it; later versions may go on after the flags.
_PARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)
_LENGTH: Final = 55
_SAMPLED: Final = 1


def sampled_parent(headers: Iterable[tuple[str, bytes | None]]) -> bytes | None:
    """Return the ``traceparent`` of a record whose trace is kept; None where there is none.

    Parameters
    ----------
    headers : iterable of (str, bytes or None)
        Of the record; of several the first counts.

    Returns
    -------
    bytes or None
        As version 00 has it, 55 characters.

    Examples
    --------
    >>> kept = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    >>> sampled_parent([("traceparent", kept)]) == kept
    True
    >>> sampled_parent([("traceparent", kept[:-1] + b"0")])
    """
    for name, value in headers:
        if name == TRACE_PARENT:
            if value is None or not _PARENT.fullmatch(value):
                return None
            parent = value[:_LENGTH]
            return parent if int(parent[-2:], 16) & _SAMPLED else None
    return None


def trace_headers(
    headers: Iterable[tuple[str, bytes | None]],
) -> list[tuple[str, bytes]]:
    """Return those of a record's headers that say which trace it belongs to.

    Parameters
    ----------
    headers : iterable of (str, bytes or None)
        Of the record.

    Returns
    -------
    list of (str, bytes)
        ``traceparent`` and ``tracestate``, where they are there.

    Examples
    --------
    >>> trace_headers([("traceparent", b"00-a-b-01"), ("content-type", b"text/plain")])
    [('traceparent', b'00-a-b-01')]
    """
    return [
        (name, value)
        for name, value in headers
        if value is not None and name in {TRACE_PARENT, TRACE_STATE}
    ]
