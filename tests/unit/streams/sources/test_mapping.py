"""Fields of others' records become ours, or are faults with the path that failed."""

from typing import Any

import jmespath
import msgspec
import pytest
from foreign import fault, mapped, mapping, source
from hypothesis import given
from hypothesis import strategies as st

from leverframe.schemas.codec import decode
from leverframe.schemas.errors import SettingsError
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.sources.expressions import compile_expression
from leverframe.streams.sources.settings import SourceSettings
from leverframe.streams.sources.times import to_ms
from leverframe.streams.sources.written import FIELDS

PREDICTION = {
    "kind": "prediction",
    "request_id": "payload.id",
    "route": {"value": "wage"},
    "arm": {"header": "model"},
    "prediction": "payload.out.score",
}
LABEL = {"kind": "ground-truth", "request_id": "id", "label": "outcome"}
HEADERS = (("model", b"v2"),)


def payload(**more: Any) -> dict[str, Any]:
    return {"payload": {"id": "a", "out": {"score": 0.25}, **more}}


def test_fields_come_from_paths_headers_keys_and_constants() -> None:
    """A record of another shape becomes the bytes of our own record."""
    given = {**PREDICTION, "unit_id": {"key": "user.id"}, "propensity": {"header": "p"}}
    [one] = mapped(
        mapping(**given), payload(), key=b'{"user":{"id":7}}', headers=(*HEADERS, ("p", b"0.5"))
    )
    assert one.request_id == "a"
    assert decode(Prediction, one.value) == Prediction(
        request_id="a", route="wage", arm="v2", prediction=0.25, unit_id="7", propensity=0.5
    )


def test_turns_of_a_session_are_keyed_by_it() -> None:
    """They meet in one partition, whatever the key was."""
    given = mapping(**PREDICTION, session_id="payload.chat")
    [one] = mapped(given, payload(chat="s"), headers=HEADERS)
    assert (one.key, one.request_id) == (b"s", "a")
    assert decode(Prediction, one.value).session_id == "s"


def test_metrics_come_from_their_places() -> None:
    """Each metric that a record has, as a number; one that is none names its path."""
    metrics = {"latency_ms": "payload.took", "cost": {"header": "cost"}}
    given = mapping(**PREDICTION, metrics=metrics)
    [one] = mapped(given, payload(took=12), headers=(*HEADERS, ("cost", b"0.5")))
    assert decode(Prediction, one.value).metrics == {"latency_ms": 12.0, "cost": 0.5}
    [one] = mapped(given, payload(), headers=HEADERS)
    assert not decode(Prediction, one.value).metrics
    found = fault(given, payload(took="long"), headers=HEADERS)
    assert (found.reason, found.path) == ("unmappable", "payload.took")


def test_metrics_of_labels_come_from_their_places() -> None:
    """Of a label, of each of its parts, and not of one that is taken back."""
    given = mapping(**LABEL, metrics={"refund": "back"}, withdraw="void")
    [one] = mapped(given, {"id": "x", "outcome": 1, "back": 12.5})
    assert decode(GroundTruth, one.value).metrics == {"refund": 12.5}
    [one] = mapped(given, {"id": "x", "outcome": 1, "back": 12.5, "void": True})
    assert (decode(GroundTruth, one.value).label, decode(GroundTruth, one.value).metrics) == (
        None,
        None,
    )
    parts = {key: value for key, value in LABEL.items() if key != "label"}
    given = mapping(**parts, parts={"click": "clicked"}, metrics={"refund": "back"})
    [one] = mapped(given, {"id": "x", "clicked": 1, "back": 12.5})
    assert decode(GroundTruth, one.value).metrics == {"refund": 12.5}


@pytest.mark.parametrize(
    ("value", "unit", "ms"),
    [
        (1_700_000_000, "s", 1_700_000_000_000),
        (1_700_000_000.25, "s", 1_700_000_000_250),
        ("1700000000123", "ms", 1_700_000_000_123),
        (1_700_000_000_123_456, "us", 1_700_000_000_123),
        (1_700_000_000_123_456_789, "ns", 1_700_000_000_123),
        ("2023-11-14T22:13:20Z", "iso8601", 1_700_000_000_000),
        ("2023-11-14T23:13:20.5+01:00", "iso8601", 1_700_000_000_500),
    ],
)
def test_times_are_read_in_their_unit(value: Any, unit: Any, ms: int) -> None:
    """Seconds to nanoseconds, as numbers or text, and ISO 8601."""
    given = {**PREDICTION, "predicted_at_ms": {"path": "at", "unit": unit}}
    [one] = mapped(mapping(**given), {**payload(), "at": value}, headers=HEADERS)
    assert decode(Prediction, one.value).predicted_at_ms == ms


@pytest.mark.parametrize("value", ["soon", True, [], {}, float("1e400")])
def test_what_is_no_time_is_refused(value: Any) -> None:
    """A time that cannot be one says what it is, and how to say how it is written."""
    with pytest.raises(ValueError, match=r"not a number of s; say how"):
        to_ms(value, "s")


def test_values_are_mapped_and_matched() -> None:
    """Words become numbers, ids are cut out of text; what the map lacks is a fault."""
    given = {
        **LABEL,
        "request_id": {"path": "id", "pattern": r"req/(\w+)"},
        "label": {"path": "outcome", "map": {"approved": 1, "declined": 0}},
    }
    ours = mapping(**given)
    [one] = mapped(ours, {"id": "req/a1", "outcome": "approved"})
    assert decode(GroundTruth, one.value) == GroundTruth(request_id="a1", label=1)
    wrong = fault(ours, {"id": "req/a1", "outcome": "maybe"})
    assert (wrong.reason, wrong.path) == ("unmappable", "outcome")
    assert wrong.why == "is 'maybe', which map does not have: approved, declined"
    assert fault(ours, {"id": "a1", "outcome": "approved"}).path == "id"


def test_parts_of_a_label_come_from_one_record() -> None:
    """Each part that a record has is a label of its own; none at all is a fault."""
    written = {"kind": "ground-truth", "request_id": "id"}
    named = mapping(**written, parts={"click": "clicked", "order": "order.total"})
    found = mapped(named, {"id": "a", "clicked": True, "order": None})
    assert [decode(GroundTruth, one.value).part for one in found] == ["click"]
    assert fault(named, {"id": "a"}).path == "parts"
    members = mapping(**written, parts_of="scores")
    found = mapped(members, {"id": "a", "scores": {"helpful": 0.5, "safe": 1}})
    assert [(r.record.part, r.record.label) for r in found] == [("helpful", 0.5), ("safe", 1)]  # type: ignore[union-attr]
    wrong = fault(members, {"id": "a", "scores": {"helpful": [1]}})
    assert wrong.path == "scores.helpful"
    assert fault(members, {"id": "a", "scores": 3}).why.startswith("there is 3, not an object")


def test_filter_passes_records_over_and_withdraw_takes_labels_back() -> None:
    """What the filter does not want is no fault; a withdrawn label is null."""
    ours = mapping(**LABEL, filter="kind == 'final'", withdraw="status == 'void'")
    assert mapped(ours, {"id": "a", "kind": "draft"}) == []
    [one] = mapped(ours, {"id": "a", "kind": "final", "status": "void"})
    assert one.value == b'{"request_id":"a","label":null}'
    nothing = fault(ours, {"id": "a", "kind": "final", "outcome": None})
    assert nothing.path == "outcome"
    assert "filter" in nothing.why


@pytest.mark.parametrize(
    ("value", "reason", "path"),
    [
        (b"{", "unreadable", ""),
        (None, "tombstone", ""),
        ({"payload": {"out": {"score": 1}}}, "unmappable", "payload.id"),
        ({"payload": {"id": "", "out": {"score": 1}}}, "unmappable", "payload.id"),
        ({"payload": {"id": "a" * 129, "out": {"score": 1}}}, "unmappable", "payload.id"),
        ({"payload": {"id": "\0positions", "out": {"score": 1}}}, "unmappable", "payload.id"),
        ({"payload": {"id": ["a"], "out": {"score": 1}}}, "unmappable", "payload.id"),
        ({"payload": {"id": "a"}}, "unmappable", "payload.out.score"),
        ({"payload": {"id": "a", "out": {"score": [1]}}}, "unmappable", "payload.out.score"),
        ({"payload": {"id": "a", "out": {"score": {"x": "y"}}}}, "unmappable", "payload.out.score"),
        ({"payload": {"id": "a", "out": {"score": "x" * 200_000}}}, "oversized", ""),
    ],
)
def test_a_fault_names_reason_and_path(value: Any, reason: str, path: str) -> None:
    """What cannot be mapped says why, and which of the source's expressions found it."""
    wrong = fault(mapping(**PREDICTION), value, headers=HEADERS)
    assert (wrong.reason, wrong.path) == (reason, path)
    assert wrong.source == "s"


def test_a_missing_header_and_numbers_that_are_none_are_faults() -> None:
    """JSON would write NaN as null, which takes a label back."""
    assert fault(mapping(**PREDICTION), payload()).path == "header model"
    nan = mapping(**{**LABEL, "label": {"header": "l", "type": "number"}})
    assert fault(nan, {"id": "a"}, headers=(("l", b"nan"),)).why == "is nan, which is no number"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"request_id": "a["}, r"request_id.path: 'a\[' is not JMESPath"),
        ({"arm": {"header": "a", "path": "b"}}, "arm.path: give one of .* got path and header"),
        ({"filter": "a ==="}, "filter: 'a ===' is not JMESPath"),
        ({"label": "x"}, "label: is of a label; this source's kind is prediction"),
        ({"reqest_id": "x"}, "reqest_id: unknown key; did you mean request_id?"),
        ({"arm": {"path": "x", "pattern": "("}}, r"arm.pattern: '\(' is no regular expression"),
        ({"arm": {"path": "x", "unit": "s"}}, "arm.unit: is for times"),
        ({"withdraw": "x"}, "withdraw: takes labels back"),
        ({"kind": "label"}, "kind: Invalid enum value 'label'"),
    ],
)
def test_wrong_settings_name_their_path(written: dict[str, Any], told: str) -> None:
    """A wrong expression is a fault of the settings, found before any record is read."""
    with pytest.raises(SettingsError, match=told):
        source(**{**PREDICTION, **written})


def test_required_fields_and_one_label_are_asked_for() -> None:
    """All that is missing is told at once."""
    with pytest.raises(SettingsError) as told:
        source(kind="prediction")
    lines = str(told.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"sources.s.{name}" for name in ("request_id", "route", "arm", "prediction")
    ]
    with pytest.raises(SettingsError, match="give one of label, parts and parts_of"):
        source(**LABEL, parts={"a": "b"})


def test_every_field_of_our_records_can_be_mapped() -> None:
    """A field that is added to a record is one that sources can fill."""
    settable = {one.name for one in msgspec.structs.fields(SourceSettings)}
    for kind in FIELDS.values():
        named = {one.name for one in msgspec.structs.fields(kind)} - {"schema_version"}
        assert named <= settable, f"{kind.__name__}: {named - settable} in SourceSettings"


_names = st.sampled_from(["a", "b", "c"])
_documents = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=12,
)
_paths = st.lists(_names | st.integers(-2, 2), min_size=1, max_size=4)


@given(_documents, _paths)
def test_plain_paths_find_what_jmespath_finds(document: Any, steps: list[Any]) -> None:
    """The walk that replaces jmespath's interpreter means the same."""
    text = "@" + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)
    text = text.removeprefix("@.")
    assert compile_expression(text)(document) == jmespath.search(text, document)
