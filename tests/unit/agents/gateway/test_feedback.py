"""Bodies of predictions and labels: one, many, a line each; all of them good, or none taken."""

from typing import Any

import orjson
import pytest
from asking import Asked

from leverframe.agents.gateway.feedback import (
    NDJSON,
    Limits,
    Refused,
    Written,
    read_labels,
    read_predictions,
)

JSON = "application/json"
LIMITS = Limits(records=3, value_bytes=200)
ONE = b'{"request_id":"a","label":1}'
TWO = b'{"request_id": "b\xc3\xa9", "label": null, "new_field": [1, {}]}'


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"[" + ONE + b" , " + TWO + b"]", JSON),
        (b" \n[" + ONE + b"," + TWO + b"]\n", "Application/JSON; charset=utf-8"),
        (ONE + b"\n" + TWO, NDJSON),
        (b"\n" + ONE + b"\r\n\r\n" + TWO + b"\n", NDJSON),
    ],
)
def test_records_go_on_as_they_came(body: bytes, media: str) -> None:
    """Byte by byte, fields that this version does not know included; keyed by request id."""
    records = read_labels(body, media, LIMITS)
    assert [record.key for record in records] == [b"a", "bé".encode()]
    assert [record.value.strip() for record in records] == [ONE, TWO]
    assert read_labels(ONE, JSON, LIMITS) == [Written(b"a", ONE)]
    assert read_labels(b"[]", JSON, LIMITS) == read_labels(b"", NDJSON, LIMITS) == []


def test_turns_of_a_session_are_keyed_by_it() -> None:
    """They meet in one partition."""
    label = b'{"request_id":"s/1","session_id":"s","label":1}'
    assert read_labels(label, JSON, LIMITS) == [Written(b"s", label)]
    turn = b'{"request_id":"s/1","session_id":"s","route":"r","arm":"a","prediction":1}'
    assert read_predictions(turn, JSON, LIMITS) == [Written(b"s", turn)]


def refused(body: bytes, media: str = JSON, read: Any = read_labels) -> tuple[int, Any]:
    with pytest.raises(Refused) as caught:
        read(body, media, LIMITS)
    answer = caught.value.answer
    return answer.status, orjson.loads(answer.body)


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"", JSON, 400),
        (b"[1,", JSON, 400),
        (b"\xff", JSON, 400),
        (b'{"request_id":"a","label":1,"x":"\xff"}', JSON, 400),
        (b"{" + b"[" * 100_000, JSON, 400),
        (ONE, "text/plain", 415),
        (ONE, "", 415),
        (b"[" + b",".join([ONE] * 4) + b"]", JSON, 413),
    ],
)
def test_bodies_that_cannot_be_read(body: bytes, media: str, status: int) -> None:
    """Each says what is wrong, and what to do."""
    found, document = refused(body, media)
    assert (found, document["status"]) == (status, status)
    assert document["detail"]
    assert document["cure"]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"label": 1}, "request_id"),
        ({"request_id": "", "label": 1}, "$.request_id"),
        ({"request_id": "\x00a", "label": 1}, "request_id must not begin with NUL"),
        ({"request_id": "x" * 129, "label": 1}, "$.request_id"),
        ({"request_id": "a", "label": [1]}, "$.label"),
        ({"request_id": "a", "label": "x" * 200}, "at most 200"),
        (7, "object"),
    ],
)
def test_wrong_records_are_named(record: Any, told: str) -> None:
    """By their place and the field's path; what the job would set aside is refused here."""
    status, document = refused(orjson.dumps([orjson.loads(ONE), record]))
    assert status == 400
    (fault,) = document["faults"]
    assert fault["record"] == 1
    assert told in fault["detail"]
    assert "1 of 2" in document["detail"]


def test_predictions_are_checked_as_the_job_does() -> None:
    good = b'{"request_id":"a","route":"r","arm":"x","prediction":0.5}'
    assert read_predictions(good, JSON, LIMITS) == [Written(b"a", good)]
    _, document = refused(good.replace(b'"r"', b'"\\u0000r"'), read=read_predictions)
    assert "route must not begin with NUL" in document["faults"][0]["detail"]


def test_without_kafka_nothing_is_told_as_durable() -> None:
    """503 with Retry-After, and that sending again is harmless."""
    answered = Asked().ask("/v1/labels", ONE)
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")
    assert "counts once" in answered.document["cure"]
