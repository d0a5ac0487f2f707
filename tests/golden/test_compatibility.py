"""Old readers read new records, and new readers old ones: against each version that was out.

``versions/N`` holds the JSON Schemas, Protobuf files and records of version N as they were. A
version that is out is never changed; a new one is a new folder.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from leverframe.schemas.codec import RECORDS, decode
from leverframe.schemas.documents import json_schema
from leverframe.streams.copies.protobuf import proto_file

FOLDER = Path(__file__).parent
VERSIONS = sorted((FOLDER / "versions").iterdir())
# Topics that a version had; one that came later has no records of it.
CASES = [
    (version, file.name.removesuffix(".schema.json"))
    for version in VERSIONS
    for file in sorted(version.glob("*.schema.json"))
]


def cases() -> Any:
    return pytest.mark.parametrize(
        ("version", "topic"), CASES, ids=[f"{v.name}-{topic}" for v, topic in CASES]
    )


def schema_of(version: Path, topic: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((version / f"{topic}.schema.json").read_text("utf-8"))
    return told


def lines_of(file: Path, topic: str) -> list[dict[str, Any]]:
    """Records as they were written; test_wire.py holds today's against the code."""
    told = json.loads(file.read_text("utf-8"))
    lines = [json.loads(line) for line in told.get("records", told)[topic]]
    assert lines
    return lines


@cases()
def test_old_readers_read_new_records(version: Path, topic: str) -> None:
    """What is written now is valid by the schemas that were out, new fields and all."""
    validator = jsonschema.Draft202012Validator(schema_of(version, topic))
    for told in lines_of(FOLDER / "records.json", topic):
        validator.validate(told)
        validator.validate({**told, "schema_version": 2, "a_field_of_2": [1]})


@cases()
def test_new_readers_read_old_records(version: Path, topic: str) -> None:
    """Records that were out decode, whatever version they say they are of."""
    for told in lines_of(version / "records.json", topic):
        record: Any = decode(RECORDS[topic], json.dumps(told).encode())
        assert record.schema_version == 1
        later = json.dumps({**told, "schema_version": 2, "a_field_of_2": [1]})
        new: Any = decode(RECORDS[topic], later.encode())
        assert new.schema_version == 2
        assert msgspec.structs.replace(new, schema_version=1) == record


@cases()
def test_fields_are_only_added(version: Path, topic: str) -> None:
    """None is taken away, retyped, newly required, or no longer sent where readers need it."""
    assert [*_breaks(schema_of(version, topic), json_schema(topic), topic)] == []


@pytest.mark.parametrize("topic", ["rewards", "control"])
@pytest.mark.parametrize("version", VERSIONS, ids=[version.name for version in VERSIONS])
def test_fields_of_protobuf_keep_their_numbers(version: Path, topic: str) -> None:
    """What a number meant it means for ever; fields are only added, behind the others."""
    was = (version / f"{topic}.proto").read_text("utf-8").splitlines()
    now = proto_file(RECORDS[topic]).splitlines()
    assert now[: len(was) - 1] == was[:-1]


def _breaks(old: Any, new: Any, at: str) -> Iterator[str]:
    """What a change breaks, definition by definition."""
    for name, own in {"": old, **old.get("$defs", {})}.items():
        now = new if not name else new.get("$defs", {}).get(name)
        if now is None:
            yield f"{at}: {name} is gone"
            continue
        known, current = own.get("properties", {}), now.get("properties", {})
        for field, type_ in known.items():
            if _bare(current.get(field)) != _bare(type_):
                yield f"{at}: {name}.{field} was {_bare(type_)}, is {_bare(current.get(field))}"
        if set(own.get("required", [])) != set(now.get("required", [])):
            yield f"{at}: {name} requires {now.get('required')}, not {own.get('required')}"


def _bare(schema: Any) -> Any:
    """A type without the words about it."""
    if isinstance(schema, dict):
        rest = {"description", "title", "examples"}
        return {key: _bare(value) for key, value in schema.items() if key not in rest}
    return [_bare(one) for one in schema] if isinstance(schema, list) else schema


def test_the_check_sees_what_breaks() -> None:
    """A retyped field, one that is gone, and one that is newly required are found."""
    old = {"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]}
    retyped = {**old, "properties": {**old["properties"], "b": {"type": "string"}}}  # type: ignore[dict-item]
    assert len([*_breaks(old, retyped, "t")]) == 1
    assert len([*_breaks(old, {**old, "properties": {"a": {"type": "string"}}}, "t")]) == 1
    assert len([*_breaks(old, {**old, "required": ["a", "b"]}, "t")]) == 1
    more = {**old, "properties": {**old["properties"], "c": {"type": "null"}}}  # type: ignore[dict-item]
    assert [*_breaks(old, more, "t")] == []
