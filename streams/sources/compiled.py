"""All sources of an application, compiled once, by topic."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from leverframe.schemas.errors import SettingsError
from leverframe.streams.sources.documents import Format, Schemas, SourceRecord
from leverframe.streams.sources.faults import source_faults
from leverframe.streams.sources.framing import is_framed, schema_id
from leverframe.streams.sources.mapping import Fault, Mapped, SourceMapping
from leverframe.streams.sources.settings import FormatName, SourceSettings

__all__ = ["TopicSources", "compile_source", "compile_sources", "ids_in", "make_format"]


def make_format(name: FormatName) -> Format:
    """Return the format of a name; only the library that it needs is imported."""
    if name == "avro":
        from leverframe.streams.sources.formats.avro import AvroFormat as Avro

        return Avro()
    if name == "protobuf":
        from leverframe.streams.sources.formats.protobuf import ProtobufFormat as Protobuf

        return Protobuf()
    return _light_format(name)


def _light_format(name: FormatName) -> Format:
    from leverframe.streams.sources.formats.cloudevents import CloudEventsFormat
    from leverframe.streams.sources.formats.debezium import DebeziumFormat
    from leverframe.streams.sources.formats.json_schema import JsonSchemaFormat
    from leverframe.streams.sources.formats.plain import JsonFormat

    formats: dict[str, type[Format]] = {
        "cloudevents": CloudEventsFormat,
        "debezium": DebeziumFormat,
        "json-schema": JsonSchemaFormat,
    }
    return formats.get(name, JsonFormat)()


def compile_source(name: str, settings: SourceSettings, max_value_bytes: int) -> SourceMapping:
    """Compile one source.

    Raises ``SettingsError`` with everything that is wrong with it.
    """
    faults = [f"sources.{name}.{keys[0]}: {text}" for keys, text in source_faults(settings)]
    if faults:
        raise SettingsError("a source cannot be read:\n  " + "\n  ".join(sorted(faults)))
    return SourceMapping(name, settings, make_format(settings.format), max_value_bytes)


class TopicSources(Struct, frozen=True):
    """The sources that read one topic; a record goes to all, and their filters decide.

    Attributes
    ----------
    topic : str
        Its full name.
    sources : sequence of SourceMapping
        In the order of the settings.
    """

    topic: str
    sources: Sequence[SourceMapping]

    @property
    def is_framed(self) -> bool:
        """Whether its records may bear ids of schemas."""
        return any(source.form.is_framed for source in self.sources)

    @property
    def begins_latest(self) -> bool:
        """Whether reading begins, the first time, with what is new."""
        return all(source.settings.begin == "latest" for source in self.sources)

    def map(self, record: SourceRecord, schemas: Schemas) -> Iterator[tuple[str, Mapped]]:
        """Yield what each source makes of a record, by its name.

        A record that cannot be read at all is one fault, not one of each source.
        """
        is_unreadable = False
        for source in self.sources:
            mapped = source.map(record, schemas)
            if isinstance(mapped, Fault) and not mapped.path:
                if is_unreadable:
                    continue
                is_unreadable = True
            yield source.name, mapped


def ids_in(records: Sequence[Any]) -> set[int]:
    """Return the ids of all schemas that keys and values of framed records name."""
    return {
        schema_id(raw)
        for record in records
        for raw in (record.key, record.value)
        if raw is not None and is_framed(raw)
    }


def compile_sources(
    written: Mapping[str, SourceSettings], max_value_bytes: int
) -> dict[str, TopicSources]:
    """Compile all sources, by the topic that they read.

    Raises ``SettingsError`` with what is wrong with one of them.
    """
    by_topic: dict[str, list[SourceMapping]] = {}
    for name, settings in written.items():
        by_topic.setdefault(settings.topic, []).append(
            compile_source(name, settings, max_value_bytes)
        )
    return {topic: TopicSources(topic, sources) for topic, sources in by_topic.items()}
