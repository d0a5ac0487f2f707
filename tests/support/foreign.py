"""Records as estates hold them, and makers of sources to read them with."""

import struct
from dataclasses import dataclass
from typing import Any

import orjson

from leverframe.agents.settings_tree import convert
from leverframe.schemas.errors import SettingsError
from leverframe.streams.sources.compiled import compile_source
from leverframe.streams.sources.faults import source_faults
from leverframe.streams.sources.mapping import Canonical, Fault, SourceMapping
from leverframe.streams.sources.settings import SourceSettings

T0 = 1_700_000_000_000


@dataclass(frozen=True)
class Foreign:
    """A record of a topic that is not ours."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = T0
    topic: str = "estate"
    partition: int = 0
    offset: int = 0


def source(**written: Any) -> SourceSettings:
    """Settings of a source as a TOML file has them; raises ``SettingsError`` with all faults."""
    faults: list[str] = []
    checks = {SourceSettings: source_faults}
    made = convert({"topic": "estate", **written}, SourceSettings, "sources.s", faults, checks)
    if faults:
        raise SettingsError("\n".join(faults))
    assert isinstance(made, SourceSettings)
    return made


def mapping(**written: Any) -> SourceMapping:
    return compile_source("s", source(**written), 100_000)


def mapped(
    mapping: SourceMapping, value: Any, schemas: Any = None, **record: Any
) -> list[Canonical]:
    """What a value becomes; it must be no fault."""
    raw = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
    found = mapping.map(Foreign(raw, **record), schemas or {})
    assert not isinstance(found, Fault), found
    return found


def fault(mapping: SourceMapping, value: Any, schemas: Any = None, **record: Any) -> Fault:
    """The fault of a value; it must have one."""
    raw = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
    found = mapping.map(Foreign(raw, **record), schemas or {})
    assert isinstance(found, Fault), found
    return found


def framed(schema_id: int, payload: bytes) -> bytes:
    return struct.pack(">bI", 0, schema_id) + payload
