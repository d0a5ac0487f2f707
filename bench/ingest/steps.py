"""What the pure steps cost, in one process, without a broker: reading a source beside the join."""

import gc
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import orjson
from msgspec import Struct

from bench.ingest.records import FORMS, SCHEMAS, pairs, section
from leverframe.agents.settings import load_settings
from leverframe.streams.attribution.packed import decode_entry, encode_entry
from leverframe.streams.attribution.step import attribute
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import RouteSettings
from leverframe.streams.runtime.murmur import partitions_of
from leverframe.streams.sources.batch import ingest
from leverframe.streams.sources.compiled import TopicSources, compile_sources
from leverframe.streams.sources.documents import Schema, Schemas
from leverframe.streams.sources.formats.avro import avro_reading

__all__ = ["step_costs"]

_PAIRS: Final = 4_000
_TRIES: Final = 15
_T0: Final = 1_700_000_000_000
_BYTES: Final = 100_000


class _Record(Struct):
    topic: str
    value: bytes
    key: bytes | None = None
    offset: int = 0
    partition: int = 0
    timestamp: int = _T0
    headers: tuple[tuple[str, bytes], ...] = ()


def step_costs() -> dict[str, float]:
    """Return microseconds of processor time an event, of the join and of reading each form.

    The least of several tries.
    """
    gc.disable()
    try:
        # In turn, so that a machine that is busy for a while is so for all.
        tries = [(_join(), _read("json"), _read("avro")) for _ in range(_TRIES)]
    finally:
        gc.enable()
    return dict(zip(FORMS, map(min, zip(*tries, strict=True)), strict=True))


def _join() -> float:
    """Decode both halves and join them; entries go through their codec."""
    routes = Routes({}, RouteSettings())
    predictions, labels = [], []
    for at, (said, truth) in enumerate(pairs("own", _PAIRS)):
        key = orjson.loads(truth)["request_id"].encode()
        predictions.append(_Record("predictions", said, key, at))
        labels.append(_Record("ground-truth", truth, key, at))
    began_s = time.process_time()
    waiting = attribute([(True, predictions)], {}, routes, max_value_bytes=_BYTES)
    raw = {name: encode_entry(entry) for name, entry in waiting.entries.items()}
    entries = {name: decode_entry(value) for name, value in raw.items()}
    joined = attribute([(False, labels)], entries, routes, max_value_bytes=_BYTES)
    raw = {name: encode_entry(entry) for name, entry in joined.entries.items()}
    return (time.process_time() - began_s) / (2 * _PAIRS) * 1e6


def _read(form: str) -> float:
    """Map both topics to records of ours, and find their partitions."""
    sources, schemas = _sources(form)
    both = [*pairs(form, _PAIRS)]
    answers = [_Record("answers", said) for said, _ in both]
    outcomes = [_Record("outcomes", truth) for _, truth in both]
    began_s = time.process_time()
    for records in (answers, outcomes):
        done = ingest(sources[records[0].topic], records, schemas, _T0)
        partitions_of([one.request_id.encode() for one, _ in done.records], 4)
        if len(done.records) != len(records):
            raise RuntimeError(str(done.dead_letters[:1]))
    return (time.process_time() - began_s) / (2 * _PAIRS) * 1e6


def _sources(form: str) -> tuple[dict[str, TopicSources], Schemas]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "leverframe.toml"
        config.write_text(section(form, "") + '[registry]\nurl = "http://127.0.0.1"\n')
        sources = compile_sources(load_settings(config, {}).sources, _BYTES)
    schemas: dict[int, Any] = {
        number: Schema("AVRO", avro_reading(orjson.dumps(schema).decode()))
        for number, schema in SCHEMAS.items()
    }
    return sources, schemas
