"""Bodies of predictions and labels to the records that Kafka is given, or all that is wrong; pure.

A body is one record, a JSON array of them, or NDJSON: one a line. Either all of its records are
good, or none is taken. Bytes go on as they came: a field that a newer job knows is not lost on the
way through an older gateway.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from leverframe.agents.gateway.answers import Answer, problem
from leverframe.schemas.codec import DECODE_ERRORS, decoder
from leverframe.schemas.errors import RecordError
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.envelope import check_name, key_of

__all__ = ["NDJSON", "Limits", "Refused", "Written", "read_labels", "read_predictions"]

NDJSON: Final = "application/x-ndjson"
_ONE_OR_MANY: Final = "application/json"
_MOST_TOLD: Final = 20

_predictions: Final = decoder(Prediction)
_labels: Final = decoder(GroundTruth)
_many: Final = msgspec.json.Decoder(list[Raw]).decode

_ReadId = Callable[[bytes], str]


class Written(NamedTuple):
    """What Kafka is given: the key is the request id, or that of the session."""

    key: bytes
    value: bytes


class Limits(Struct, frozen=True):
    """Records in a request, and bytes in a record, as the job accepts them."""

    records: int
    value_bytes: int


class Refused(Exception):  # noqa: N818 - an answer, which is no mistake of ours
    """A body that cannot be taken, with the answer to it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def read_predictions(body: bytes, media: str, limits: Limits) -> list[Written]:
    """Read one prediction or many.

    Raises ``Refused``: with the problem.
    """
    return _read(body, media, limits, _prediction)


def read_labels(body: bytes, media: str, limits: Limits) -> list[Written]:
    """Read one label or many.

    Raises ``Refused``: with the problem.

    Examples
    --------
    >>> read_labels(b'{"request_id": "a", "label": 1}', "application/json", Limits(10, 1000))
    [Written(key=b'a', value=b'{"request_id": "a", "label": 1}')]
    """
    return _read(body, media, limits, _label)


def _prediction(value: bytes) -> str:
    prediction = _predictions(value)
    check_name(prediction.route, "route")
    return _key_of(prediction)


def _label(value: bytes) -> str:
    return _key_of(_labels(value))


def _key_of(half: Prediction | GroundTruth) -> str:
    check_name(half.request_id, "request_id")
    return key_of(half)


def _read(body: bytes, media: str, limits: Limits, read_id: _ReadId) -> list[Written]:
    try:
        body.decode()
        raw = list(_parts(body, media))
    except DECODE_ERRORS as error:
        raise Refused(
            problem(
                400,
                "the body cannot be read",
                f"{error}",
                "send one JSON object or an array of them as application/json, or one object a "
                f"line as {NDJSON}",
            )
        ) from error
    if len(raw) > limits.records:
        raise Refused(
            problem(
                413,
                "too many records",
                f"the body holds {len(raw)} records, at most {limits.records} are taken at once",
                "send them in several requests, or raise gateway.max_records",
            )
        )
    written, faults = [], []
    for at, value in enumerate(raw):
        try:
            written.append(_record(bytes(value), limits.value_bytes, read_id))
        except RecordError as error:
            faults.append({"record": at, "reason": error.reason, "detail": error.detail})
    if faults:
        raise Refused(_faulty(faults, len(raw)))
    return written


def _record(value: bytes, most_bytes: int, read_id: _ReadId) -> Written:
    if len(value) > most_bytes:
        told = f"the record has {len(value)} bytes, at most {most_bytes} are accepted"
        raise RecordError("oversized", told)
    try:
        request_id = read_id(value)
    except DECODE_ERRORS as error:
        reason = "invalid" if isinstance(error, msgspec.ValidationError) else "unreadable"
        raise RecordError(reason, str(error)) from error
    check_name(request_id, "request_id")
    return Written(request_id.encode(), value)


def _parts(body: bytes, media: str) -> Iterator[bytes | Raw]:
    kind = media.partition(";")[0].strip().lower()
    if kind == NDJSON:
        yield from (line for line in body.split(b"\n") if line.strip())
    elif kind != _ONE_OR_MANY:
        raise Refused(
            problem(
                415,
                "the body's kind is not known",
                f"content-type is {media!r:.100}",
                f"say application/json or {NDJSON}",
            )
        )
    elif body.lstrip()[:1] == b"[":
        yield from _many(body)
    else:
        yield body


def _faulty(faults: list[dict[str, object]], count: int) -> Answer:
    told = faults[:_MOST_TOLD]
    more = f", the first {len(told)} are named" if len(faults) > len(told) else ""
    return problem(
        400,
        "records that the job could not use",
        f"{len(faults)} of {count} records are wrong{more}; none was taken",
        "correct the fields that faults name (record counts from 0), and send all of them again",
        faults=told,
    )
