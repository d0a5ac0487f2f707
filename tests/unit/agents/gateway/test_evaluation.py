"""OFREP: which arm a unit has, and the protocol's words for everything else."""

import json
from pathlib import Path

import orjson
import pytest
from asking import Asked, control_message

from leverframe.serving import assigner
from leverframe.serving.shadows import is_drawn

VECTORS = json.loads((Path(assigner.__file__).parent / "vectors.json").read_text("utf-8"))
CASES = [case for case in VECTORS["cases"] if case["unit"] and case["salt"]]
FLAGS = "/ofrep/v1/evaluate/flags"


def by_weights() -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for case in CASES:
        found.setdefault(json.dumps(case["weights"]), []).append(case)
    return found


def test_arms_are_those_of_the_vectors() -> None:
    """Each pinned unit has its arm and propensity, over HTTP as by the assigner."""
    seen = 0
    for weights, cases in by_weights().items():
        shares = json.loads(weights)
        if sum(shares.values()) > 1.5:
            continue  # what no control message can say
        asked = Asked(control_message("r", shares, salt=cases[0]["salt"]))
        for case in cases:
            found = asked.evaluate("r", str(case["unit"]))
            assert found["value"] == found["variant"] == case["arm"]
            assert found["metadata"]["propensity"] == case["propensity"]
            seen += 1
    assert seen > 1000


def test_a_split_says_what_to_log() -> None:
    """Value, variant, reason and metadata of the protocol; epoch, seq, propensity, champion."""
    asked = Asked(control_message("r", {"a": 0.25, "b": 0.75}, epoch=3, seq=9, champion="b"))
    found = asked.evaluate("r", "unit", plan="free")
    arm = found["value"]
    assert found == {
        "key": "r",
        "value": arm,
        "variant": arm,
        "reason": "SPLIT",
        "metadata": {
            "epoch": 3,
            "seq": 9,
            "champion": "b",
            "propensity": {"a": 0.25, "b": 0.75}[arm],
        },
    }


def test_a_single_arm_is_static() -> None:
    """Nothing is drawn where one arm has everything."""
    assert (
        Asked(control_message("r", {"a": 1.0, "b": 0.0})).evaluate("r", "u")["reason"] == "STATIC"
    )


def test_silence_gives_the_safe_weights_and_says_so() -> None:
    """The protocol has no reason for what may be old: UNKNOWN, and stale in the metadata."""
    asked = Asked(control_message("r", {"a": 0.0, "b": 1.0}, safe_weights={"a": 1.0}, ttl_ms=5000))
    asked.clock_s = 5.0
    assert asked.evaluate("r", "u")["value"] == "b"
    asked.clock_s = 5.001
    found = asked.evaluate("r", "u")
    assert (found["value"], found["reason"], found["metadata"]["stale"]) == ("a", "UNKNOWN", True)


def test_no_weights_leave_it_to_the_caller() -> None:
    """A route without an arm has no value: the default of the caller's code holds."""
    found = Asked(control_message("r", {})).evaluate("r", "u")
    assert found["reason"] == "DISABLED"
    assert "value" not in found


def test_shadows_are_drawn_by_request() -> None:
    """On a drawn request the arms to ask beside, as a JSON list; else nothing of them."""
    message = control_message("r", {"a": 1.0}, shadow_share=0.5, shadow_arms=["a", "b", "c"])
    asked = Asked(message)
    for number in range(50):
        metadata = asked.evaluate("r", "user", request_id=f"q{number}")["metadata"]
        told = metadata.get("shadows")
        assert (told == '["b","c"]') == is_drawn(0.5, message.salt, f"q{number}")
        assert told in {None, '["b","c"]'}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "PARSE_ERROR"),
        (b"{", "PARSE_ERROR"),
        (b'{"context":{"targetingKey":"\xff"}}', "PARSE_ERROR"),
        (b'{"context":{"targetingKey":"\\ud800"}}', "PARSE_ERROR"),
        (b'{"x":' + b"[" * 100_000, "PARSE_ERROR"),
        (b"[]", "INVALID_CONTEXT"),
        (b"{}", "INVALID_CONTEXT"),
        (b'{"context":null}', "INVALID_CONTEXT"),
        (b'{"context":{}}', "TARGETING_KEY_MISSING"),
        (b'{"context":{"targetingKey":""}}', "TARGETING_KEY_MISSING"),
        (b'{"context":{"targetingKey":7}}', "INVALID_CONTEXT"),
        (b'{"context":{"targetingKey":"' + b"x" * 129 + b'"}}', "INVALID_CONTEXT"),
        (b'{"context":{"targetingKey":"u","request_id":7}}', "INVALID_CONTEXT"),
        (b'{"context":{"targetingKey":"u","request_id":""}}', "INVALID_CONTEXT"),
    ],
)
def test_what_is_wrong_has_its_code(body: bytes, code: str) -> None:
    """400 with the protocol's code, of one flag and of all."""
    asked = Asked(control_message("r", {"a": 1.0}))
    for path in (f"{FLAGS}/r", FLAGS):
        answered = asked.ask(path, body)
        assert (answered.status, answered.document["errorCode"]) == (400, code)
        assert answered.document["errorDetails"]


def test_an_unknown_route_is_not_found() -> None:
    answered = Asked().ask(f"{FLAGS}/no/such", {"context": {"targetingKey": "u"}})
    assert answered.status == 404
    assert answered.document["errorCode"] == "FLAG_NOT_FOUND"
    assert answered.document["key"] == "no/such"


def test_all_flags_have_a_tag_that_moves_with_what_is_assigned() -> None:
    """304 while nothing is assigned otherwise, heartbeats included; another unit, another tag."""
    first = control_message("r", {"a": 0.5, "b": 0.5})
    asked, context = Asked(first, control_message("s", {"c": 1.0})), {"targetingKey": "u"}
    answered = asked.ask(FLAGS, {"context": context})
    assert [flag["key"] for flag in answered.document["flags"]] == ["r", "s"]
    assert answered.document["flags"][0] == asked.evaluate("r", "u")
    assert answered.document["eventStreams"] == [
        {"type": "sse", "endpoint": {"requestUri": "/ofrep/v1/events"}}
    ]
    tag = answered.headers["etag"]
    asked.hear(control_message("r", {"b": 0.5, "a": 0.5}, champion="a", seq=2, kind="heartbeat"))
    again = asked.ask(FLAGS, {"context": context}, if_none_match=tag)
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    other = asked.ask(FLAGS, {"context": {"targetingKey": "v"}}, if_none_match=tag)
    assert other.status == 200
    asked.hear(control_message("r", {"a": 1.0}, seq=3, epoch=2, kind="rollback"))
    moved = asked.ask(FLAGS, {"context": context}, if_none_match=tag)
    assert moved.status == 200
    assert moved.headers["etag"] != tag


def test_replicas_agree_on_the_tag() -> None:
    """Whatever each heard before, in whatever order."""
    routes = [control_message(f"r{i}", {"a": 0.5, "b": 0.5}) for i in range(5)]
    one, other = Asked(*routes), Asked(control_message("r3", {"z": 1.0}, seq=0), *routes[::-1])
    body = orjson.loads(b'{"context":{"targetingKey":"u"}}')
    assert one.ask(FLAGS, body).headers["etag"] == other.ask(FLAGS, body).headers["etag"]
