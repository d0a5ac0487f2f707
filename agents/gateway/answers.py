"""What is answered: a status, a body, headers; and a problem that says what, where, what to do."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

__all__ = ["Answer", "as_json", "problem"]

Header = tuple[bytes, bytes]

_JSON: Final[Header] = (b"content-type", b"application/json")
_PROBLEM: Final[Header] = (b"content-type", b"application/problem+json")


class Answer(NamedTuple):
    """One answer of HTTP.

    Attributes
    ----------
    status : int
        Of HTTP.
    body : bytes
        May be empty.
    headers : sequence of (bytes, bytes)
        All but the content's length.
    """

    status: int
    body: bytes
    headers: Sequence[Header] = ()


def as_json(status: int, document: Any, *headers: Header) -> Answer:
    """Return a document as an answer."""
    return Answer(status, orjson.dumps(document), (_JSON, *headers))


def problem(status: int, title: str, detail: str, cure: str, **more: Any) -> Answer:
    """Return what is wrong, in the form of RFC 9457.

    ``retry_s`` of ``more`` becomes ``Retry-After``, ``headers`` more headers; all else stands in
    the document.

    Examples
    --------
    >>> answer = problem(429, "too much", "32 MiB wait for Kafka", "send again", retry_s=1)
    >>> answer.status, answer.headers[1]
    (429, (b'retry-after', b'1'))
    >>> orjson.loads(answer.body)["cure"]
    'send again'
    """
    headers: list[Header] = [_PROBLEM]
    if (retry_s := more.pop("retry_s", None)) is not None:
        headers.append((b"retry-after", str(retry_s).encode()))
    headers += more.pop("headers", ())
    document = {"title": title, "status": status, "detail": detail, "cure": cure, **more}
    return Answer(status, orjson.dumps(document), headers)
