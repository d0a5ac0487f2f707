"""Bytes that are out in the world: every record, and a trace of decisions, pinned.

A failure here means that stored records or replays change: that needs a ``Wire:`` or ``State:``
line in the commit and the changelog, and the old bytes must stay readable. To pin anew: run this
file.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

import msgspec
from records import MAX_VALUE_BYTES, T0, command_record, learning_runs, reward_record, routes

from leverframe.agents.cli.schemas import documents
from leverframe.schemas.audit import AuditEvent
from leverframe.schemas.codec import RECORDS, decode, encode
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlAck, ControlMessage
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward
from leverframe.schemas.route_settings import AppliedSettings
from leverframe.schemas.traffic import ServedCount, Traffic
from leverframe.streams.attribution.entries import (
    ArrivedLabel,
    Attributed,
    EarlyLabel,
    PricedWaiting,
    Session,
    SessionLabel,
    ShadowWaiting,
    Shared,
    UnitWaiting,
    Waiting,
)
from leverframe.streams.attribution.packed import decode_entry, encode_entry
from leverframe.streams.learning.state import RouteState, decode_route, encode_route, state_digest
from leverframe.streams.learning.step import learn

FOLDER = Path(__file__).parent
RECORD_FILE = FOLDER / "records.json"
TRACE_FILE = FOLDER / "trace.json"

_WAITING = Waiting(T0, T0 + 1000, "r", "a", {"0": 0.25, "1": 0.75}, 0.5, 1, 2, [0.5], T0 - 5, True)
_SHADOW = ShadowWaiting(T0, T0 + 1000, "r", "b", 1, None, 1, 2, None, T0 - 5, True, None)
_OF_UNIT = UnitWaiting(T0, T0 + 1000, "r", "a", 1, 0.5, 1, 2, None, T0 - 5, True, "user-1")

EXAMPLES: dict[str, list[msgspec.Struct]] = {
    "predictions": [
        Prediction(request_id="x", route="r", arm="a", prediction=1),
        Prediction(
            request_id="é",
            route="r",
            arm="a",
            prediction={"0": 0.25, "1": 0.75},
            propensity=0.5,
            epoch=1,
            seq=2,
            context=[0.5, -1.0],
            predicted_at_ms=T0,
            shown=False,
        ),
        Prediction(request_id="x", route="r", arm="a", prediction=1, unit_id="user-1"),
        Prediction(request_id="x", route="r", arm="b", prediction=0, served=False),
        Prediction(request_id="x", route="r", arm="a", prediction=1, metrics={"latency_ms": 120.0}),
        Prediction(request_id="x", route="r", arm="a", prediction=1, replica="web-1"),
        Prediction(request_id="x", route="r", arm="a", prediction=1, session_id="chat-7"),
    ],
    "ground-truth": [
        GroundTruth(request_id="x", label=None),
        GroundTruth(request_id="x", label="cat", labelled_at_ms=T0, weight=2.0),
        GroundTruth(request_id="chat-7", label=1, session_id="chat-7"),
        GroundTruth(request_id="chat-7", label=0.5, session_id="chat-7", judge=True),
    ],
    "rewards": [
        Reward(
            request_id="x",
            route="r",
            arm="a",
            reward=1.0,
            predicted_at_ms=T0,
            labelled_at_ms=T0 + 1,
            attributed_at_ms=T0 + 2,
        ),
        Reward(
            request_id="x",
            route="r",
            arm="a",
            reward=None,
            previous_reward=0.5,
            revision=2,
            cause="withdrawal",
            propensity=0.5,
            epoch=1,
            seq=2,
            context=[1.0],
            predicted_at_ms=T0,
            labelled_at_ms=T0 + 1,
            attributed_at_ms=T0 + 2,
            counted_at_ms=T0 + 1,
        ),
        Reward(
            request_id="x",
            route="r",
            arm="a",
            reward=1.0,
            predicted_at_ms=T0,
            labelled_at_ms=T0 + 1,
            attributed_at_ms=T0 + 2,
            unit_id="user-1",
        ),
        Reward(
            request_id="x",
            route="r",
            arm="b",
            reward=0.0,
            predicted_at_ms=T0,
            labelled_at_ms=T0 + 1,
            attributed_at_ms=T0 + 2,
            served=False,
            beside="a",
            others={"a": 1.0},
        ),
    ],
    "commands": [
        Command(
            command_id="c",
            route="r",
            action="register_arm",
            arm="a",
            params={"validation_score": 0.9},
            actor="me",
            issued_at_ms=T0,
        )
    ],
    "control": [
        ControlMessage(
            route="r",
            epoch=1,
            seq=2,
            kind="rollback",
            weights={"a": 1.0, "b": 0.0},
            champion="a",
            quarantined=["b"],
            safe_weights={"a": 1.0},
            ttl_ms=15000,
            issued_at_ms=T0,
            salt="00",
            cause={"why": "guard"},
            state_digest="0123456789abcdef",
        ),
        ControlMessage(
            route="r",
            epoch=1,
            seq=3,
            kind="routing",
            weights={"a": 1.0, "b": 0.0},
            champion="a",
            safe_weights={"a": 1.0},
            ttl_ms=15000,
            issued_at_ms=T0,
            salt="00",
            cause={"why": "policy"},
            state_digest="0123456789abcdef",
            shadow_share=0.3,
            shadow_arms=["a", "b"],
        ),
    ],
    "control-acks": [
        ControlAck(
            route="r", replica="web-1", epoch=1, seq=2, applied_at_ms=T0, weights_digest="00"
        )
    ],
    "traffic": [
        Traffic(
            route="r",
            served=[
                ServedCount(arm="a", count=2, from_ms=T0),
                ServedCount(arm="a", epoch=1, seq=2, count=3, from_ms=T0 + 1),
            ],
            until_ms=T0 + 2,
        ),
        Traffic(
            route="r",
            served=[
                ServedCount(
                    arm="a", count=2, from_ms=T0, of_units=2, units=[7, 2**32 - 1], unit_period=3
                ),
                ServedCount(arm="a", count=2, from_ms=T0, replica="web-1"),
            ],
            until_ms=T0 + 2,
        ),
    ],
    "route-settings": [
        AppliedSettings(
            route="r",
            settings={"ttl_s": 30.0, "policy": {"name": "ucb", "params": {}}},
            command_id="c",
            actor="ada",
            applied_at_ms=T0,
        ),
        AppliedSettings(route="r", settings=None, command_id="c", actor="ada", applied_at_ms=T0),
    ],
    "audit": [
        AuditEvent(
            route="r",
            event="rollback",
            actor="leverframe",
            arm="b",
            epoch=1,
            seq=2,
            at_ms=T0,
            evidence={"why": "guard", "arm": "b"},
            state_digest="0123456789abcdef",
        ),
        AuditEvent(
            route="r",
            event="command",
            outcome="refused",
            actor="ada",
            signed=True,
            action="ramp",
            command_id="c",
            params={"do": "skip"},
            reason="refused",
            detail="no ramp is under way",
            epoch=1,
            seq=2,
            at_ms=T0,
            state_digest="",
        ),
    ],
}
ENTRIES = {
    "waiting": _WAITING,
    "early_label": EarlyLabel(T0, T0 + 1000, "cat", T0),
    "attributed": Attributed(_WAITING, 1, T0, 1.0, 3, T0 + 7),
    "waiting_of_unit": _OF_UNIT,
    "attributed_of_unit": Attributed(_OF_UNIT, 1, T0, 1.0, 3, T0 + 7),
    "waiting_in_shadow": _SHADOW,
    "priced": PricedWaiting(
        T0, T0 + 1000, "r", "a", 1, 0.5, 1, 2, None, T0 - 5, True, "user-1", -0.75
    ),
    "session": Session(
        {"x": _OF_UNIT, "y": Attributed(_OF_UNIT, 1, T0, 1.0, 3, T0 + 7)},
        {"y": T0 + 7},
        [SessionLabel("", ArrivedLabel(T0 + 7, 1, T0 + 7, "", 3))],
        ["x"],
    ),
    "shared": Shared(
        [Attributed(_WAITING, 1, T0, 1.0, 0, T0 + 7), _SHADOW], [ArrivedLabel(T0 + 7, 1, T0 + 7)]
    ),
}


# As it was stored before answers were kept by what differs from the served one.
_WHOLE_ANSWERS = (
    "93069299039c01cf0000018bcfe56800cf0000018bcfe56be8a172a16182a130cb3fd0000000000000a131cb3fe800"
    "0000000000cb3fe0000000000000010291cb3fe0000000000000cf0000018bcfe567fbc301cf0000018bcfe56800cb"
    "3ff000000000000000cf0000018bcfe56807c2809d05cf0000018bcfe56800cf0000018bcfe56be8a172a16201c001"
    "02c0cf0000018bcfe567fbc3c09195cf0000018bcfe5680701cf0000018bcfe56807a0ff"
)


def trace() -> dict[str, Any]:
    """Fold 1,000 rewards of three arms, one of which breaks, and a few commands."""
    rng = random.Random(1)
    records = []
    for i in range(1000):
        arm = rng.choice("abc")
        rate = {"a": 0.8, "b": 0.95 if i < 600 else 0.2, "c": 0.6}[arm]
        records.append(reward_record(arm, float(rng.random() < rate), i * 3, request_id=f"q{i}"))
    records.insert(700, command_record("pin", "a", 2100, command_id="c1"))
    records.insert(750, command_record("unpin", None, 2250, command_id="c2"))
    states: dict[str, RouteState] = {}
    outcome = learn(learning_runs(records), states, routes(), max_value_bytes=MAX_VALUE_BYTES)
    return {
        "messages": [[m.epoch, m.seq, m.kind, m.champion, m.state_digest] for m in outcome.control],
        "digest": state_digest(outcome.states["r"]),
    }


def pinned() -> dict[str, Any]:
    return {
        "records": {
            topic: [encode(record).decode() for record in records]
            for topic, records in EXAMPLES.items()
        },
        "entries": {name: encode_entry(entry).hex() for name, entry in ENTRIES.items()},
    }


def test_records_keep_their_bytes() -> None:
    """Every record encodes to the pinned bytes and decodes from them."""
    known = json.loads(RECORD_FILE.read_text(encoding="utf-8"))
    assert pinned() == known
    assert EXAMPLES.keys() == RECORDS.keys()
    for topic, lines in known["records"].items():
        for line, record in zip(lines, EXAMPLES[topic], strict=True):
            assert decode(RECORDS[topic], line.encode()) == record
    for name, raw in known["entries"].items():
        assert decode_entry(bytes.fromhex(raw)) == ENTRIES[name]


def test_entries_of_before_are_read() -> None:
    """What an older worker stored of several answers to one request."""
    assert decode_entry(bytes.fromhex(_WHOLE_ANSWERS)) == ENTRIES["shared"]


def test_records_ignore_unknown_fields() -> None:
    """A newer producer's fields do not disturb."""
    for topic, records in EXAMPLES.items():
        raw = json.loads(encode(records[0])) | {"field_from_the_future": {"x": [1]}}
        assert decode(RECORDS[topic], json.dumps(raw).encode()) == records[0]


def test_decisions_replay_to_the_same_trace() -> None:
    """The same 1,000 events make the same messages and digests, bit for bit."""
    assert trace() == json.loads(TRACE_FILE.read_text(encoding="utf-8"))


def test_route_state_survives_its_codec() -> None:
    """A state comes back from its bytes as it was."""
    records = [reward_record("a", 1.0), reward_record("b", 0.5, 1, propensity=0.25)]
    outcome = learn(learning_runs(records), {}, routes(), max_value_bytes=MAX_VALUE_BYTES)
    state = outcome.states["r"]
    assert decode_route(encode_route(state)) == state


def test_documents_agree_with_the_structs() -> None:
    """JSON Schemas and AsyncAPI in docs/schemas are what the structs say."""
    folder = FOLDER.parent.parent / "docs" / "schemas"
    for name, text in documents().items():
        assert (folder / name).read_text(encoding="utf-8") == text, f"{name}: run make docs"


def test_json_schemas_accept_the_golden_records() -> None:
    """The generated JSON Schemas are valid, accept what we write and refuse what we refuse."""
    import jsonschema

    from leverframe.schemas.documents import json_schema

    for topic, records in EXAMPLES.items():
        schema = json_schema(topic)
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        for record in records:
            validator.validate(json.loads(encode(record)))
        assert not validator.is_valid({})


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER.parent / "support"))
    RECORD_FILE.write_text(json.dumps(pinned(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    TRACE_FILE.write_text(json.dumps(trace()) + "\n", "utf-8")
