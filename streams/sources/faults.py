"""What is wrong with the settings of sources beyond single values: all of it, each by its key."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import msgspec

from leverframe.streams.sources.expressions import ExpressionError, compile_expression
from leverframe.streams.sources.fields import field_faults
from leverframe.streams.sources.settings import FieldSettings, RegistrySettings, SourceSettings
from leverframe.streams.sources.written import FIELDS, written_fields

__all__ = ["Fault", "registry_faults", "source_faults", "topic_faults"]

Fault = tuple[tuple[str, ...], str]
"""Keys that it takes to be wrong, the one to mend first, and what is wrong."""

_NEEDS_REGISTRY: Final = frozenset({"avro", "protobuf"})
_TIMES: Final = frozenset({"predicted_at_ms", "labelled_at_ms"})


def source_faults(settings: SourceSettings) -> Iterator[Fault]:
    """Find everything that keeps a source from being compiled."""
    for key, field in written_fields(settings):
        own = key.partition(".")[0]
        for inner, text in field_faults(field):
            yield (f"{key}.{inner}", own), text
        yield from _unit_faults(key, field)
    for key in ("filter", "withdraw"):
        try:
            compile_expression(getattr(settings, key) or "@")
        except ExpressionError as error:
            yield (key,), str(error)
    yield from _kind_faults(settings)
    if settings.kind == "ground-truth":
        yield from _label_faults(settings)


def topic_faults(sources: Mapping[str, SourceSettings], own: Collection[str]) -> Iterator[Fault]:
    """Find sources that read what the job itself reads or writes, or one topic in two formats."""
    formats: dict[str, tuple[str, str]] = {}
    for name, source in sources.items():
        if source.topic in own:
            text = f"{source.topic} is a topic of the job's own; it needs no source"
            yield (f"sources.{name}.topic", "sources"), text
        first, form = formats.setdefault(source.topic, (name, source.format))
        if form != source.format:
            text = f"is {source.format}, and {form} in source {first}, which reads the same topic"
            yield (f"sources.{name}.format", "sources"), text


def registry_faults(
    sources: Mapping[str, SourceSettings], registry: RegistrySettings
) -> Iterator[Fault]:
    """Find formats that cannot be read without a registry."""
    needing = [name for name, source in sources.items() if source.format in _NEEDS_REGISTRY]
    if needing and not registry.url:
        told = ", ".join(f"{name} ({sources[name].format})" for name in needing)
        yield ("registry.url", "registry", "sources"), f"missing; needed by source {told}"


def _unit_faults(key: str, field: FieldSettings) -> Iterator[Fault]:
    if field.unit != "ms" and key not in _TIMES:
        own = key.partition(".")[0]
        yield (f"{key}.unit", own), f"is for times: {', '.join(sorted(_TIMES))}"


def _kind_faults(settings: SourceSettings) -> Iterator[Fault]:
    known = {one.name: one.required for one in msgspec.structs.fields(FIELDS[settings.kind])}
    other = "a label" if settings.kind == "prediction" else "a prediction"
    for key, _ in written_fields(settings):
        own = key.partition(".")[0]
        if own not in known and not (settings.kind == "ground-truth" and own.startswith("parts")):
            close = difflib.get_close_matches(own, known, 1, 0.75)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield (key, own), f"is of {other}; this source's kind is {settings.kind}{hint}"
    for name, is_required in known.items():
        if is_required and name != "label" and getattr(settings, name) is None:
            yield (name,), 'missing: say where it is, as in "payload.id"'
    if settings.withdraw and settings.kind == "prediction":
        yield ("withdraw",), "takes labels back; this source's kind is prediction"


def _label_faults(settings: SourceSettings) -> Iterator[Fault]:
    ways = [name for name in ("label", "parts", "parts_of") if getattr(settings, name)]
    if not ways:
        yield ("label",), "missing: say where the label is, or its parts: parts, parts_of"
    elif len(ways) > 1:
        yield (ways[1], ways[0]), f"give one of label, parts and parts_of; got {' and '.join(ways)}"
    if settings.part is not None and ways != ["label"]:
        yield ("part", *ways), "goes with label; parts and parts_of name their parts themselves"
