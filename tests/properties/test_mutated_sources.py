"""Whatever others' producers write becomes records of ours or a fault, never an error."""

from typing import Any

import msgspec
import pytest
from foreign import Foreign
from hypothesis import given, settings
from hypothesis import strategies as st
from registry_server import RegistryServer
from twelve import Kind, twelve

from leverframe.agents.ingest.registry import Registered, _readable
from leverframe.agents.settings_tree import convert
from leverframe.schemas.codec import decode
from leverframe.schemas.dead_letter import REASONS
from leverframe.streams.sources.compiled import compile_source
from leverframe.streams.sources.faults import source_faults
from leverframe.streams.sources.mapping import Fault, SourceMapping
from leverframe.streams.sources.settings import SourceSettings
from leverframe.streams.sources.written import FIELDS

REGISTRY = RegistryServer()
KINDS = twelve(REGISTRY)
SCHEMAS = {
    one.schema_id: _readable(Registered(one.schema_id, one.kind, one.serialized or one.text))
    for one in REGISTRY.schemas
}


def mapping_of(kind: Kind) -> SourceMapping:
    import tomllib

    faults: list[str] = []
    written = tomllib.loads(kind.section)["sources"][kind.name]
    checks = {SourceSettings: source_faults}
    made = convert(written, SourceSettings, "", faults, checks)
    assert isinstance(made, SourceSettings), faults
    return compile_source(kind.name, made, 100_000)


MAPPINGS = {kind.name: mapping_of(kind) for kind in KINDS}


def check(kind: Kind, key: bytes | None, value: bytes | None, headers: Any) -> None:
    found = MAPPINGS[kind.name].map(Foreign(value, key, tuple(headers)), SCHEMAS)
    if isinstance(found, Fault):
        assert found.reason in REASONS
        assert found.why
        assert "not foreseen" not in found.why, found
        assert len(found.detail.encode()) < 100_000
        return
    for one in found:
        record: Any = decode(FIELDS[one.kind], one.value)
        assert record.request_id == one.request_id
        assert msgspec.json.encode(record) == one.value


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_mutated_records_are_mapped_or_faulty(kind: Kind, data: st.DataObject) -> None:
    """Bytes changed, cut, put in; any key and headers; what is mapped is a valid record."""
    key, value, headers = kind.good("q")
    raw = bytearray(value or b"")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(raw) - 1)))
        what = data.draw(st.sampled_from(["flip", "cut", "put", "end"]))
        if what == "flip" and raw:
            raw[at] ^= data.draw(st.integers(1, 255))
        elif what == "cut":
            del raw[at : at + data.draw(st.integers(1, 20))]
        elif what == "put":
            raw[at:at] = data.draw(st.binary(max_size=12))
        else:
            del raw[at:]
    key = data.draw(st.sampled_from([key, None, b"", b"\xff", b'"', b"[" * 5_000]))
    some = [*headers, ("model", b"\xff"), ("ce_id", b"")]
    check(kind, key, bytes(raw), data.draw(st.lists(st.sampled_from(some), max_size=9)))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(value=_json)
@settings(max_examples=60, deadline=None)
def test_any_json_is_mapped_or_faulty(kind: Kind, value: Any) -> None:
    """Documents of any shape, under the names that the settings look for, too."""
    names = ("id", "request", "payload", "op", "before", "after", "scores", "conversation", "r")
    for document in (value, dict.fromkeys(names, value), {"op": "u", "before": value, "after": {}}):
        check(kind, b"k", msgspec.json.encode(document), kind.good("q")[2])
