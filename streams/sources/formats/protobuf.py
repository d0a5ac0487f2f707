"""Protobuf behind a registry's frame, by descriptors that the registry gives in serialized form.

No compiler is needed at run time: a registry answers ``format=serialized`` with the file's
descriptor (docs/adr/0019-sources.md).
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from leverframe.streams.sources.documents import Decoded, FormatError, Reading, Schemas
from leverframe.streams.sources.formats.plain import read_key
from leverframe.streams.sources.framing import is_framed, unframe

__all__ = ["ProtobufFormat", "protobuf_reading"]

_WELL_KNOWN: Final = "google.protobuf."
_MOST_NESTED: Final = 64


class ProtobufFormat:
    """A value is a frame, which message of the file it is, and the message."""

    is_framed = True
    passes_tombstones = False

    def decode(
        self, value: bytes, headers: Mapping[str, bytes | None], schemas: Schemas
    ) -> Decoded:
        """Decode a value; raises ``FormatError``."""
        del headers
        return Decoded(unframe(value, schemas, "PROTOBUF"))

    def decode_key(self, key: bytes, schemas: Schemas) -> Any:
        """Decode a key, framed or not; raises ``FormatError``."""
        return unframe(key, schemas, "PROTOBUF") if is_framed(key) else read_key(key)


def protobuf_reading(serialized: str, references: Iterable[tuple[str, str]] = ()) -> Reading:
    """Return what reads messages of a file; its references are name and descriptor, in base64.

    References are given before who needs them. Raises ``ValueError`` where these are no
    descriptors.
    """
    pool = descriptor_pool.DescriptorPool()
    for name, text in references:
        _add(pool, name, text)
    file = _add(pool, "leverframe-source.proto", serialized)
    names = pool.FindFileByName(file).message_types_by_name
    messages = [*names.values()]

    def read(raw: bytes) -> Any:
        indexes, at = _indexes(raw)
        described = _chosen(messages, indexes)
        message = message_factory.GetMessageClass(described)()
        try:
            message.ParseFromString(raw[at:])
        except DecodeError as error:
            raise FormatError("unreadable", f"is no {described.full_name}: {error}") from error
        return _document(message)

    return read


def _add(pool: Any, name: str, text: str) -> str:
    file = descriptor_pb2.FileDescriptorProto()
    try:
        file.ParseFromString(base64.b64decode(text, validate=True))
    except (DecodeError, binascii.Error, ValueError) as error:
        raise ValueError(
            "is no serialized descriptor: the registry does not answer format=serialized "
            f"({error!r:.100})"
        ) from error
    file.name = name
    for dependency in file.dependency:
        _add_well_known(pool, dependency)
    try:
        pool.Add(file)
        pool.FindFileByName(name)
    except (TypeError, KeyError) as error:
        raise ValueError(f"lacks a file that it imports: {error!r:.200}") from error
    return name


def _add_well_known(pool: Any, name: str) -> None:
    """Files that come with Protobuf itself are not in the registry."""
    if not name.startswith("google/protobuf/"):
        return
    try:
        pool.FindFileByName(name)
    except KeyError:
        module = import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        for one in module.DESCRIPTOR.dependencies:
            _add_well_known(pool, one.name)
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        pool.Add(file)


def _indexes(raw: bytes) -> tuple[list[int], int]:
    """Which message of the file, and where its bytes begin; a single 0 says the first."""
    count, at = _varint(raw, 0)
    if count == 0:
        return [0], at
    if not 0 < count <= _MOST_NESTED:
        raise FormatError("unreadable", f"names a message nested {count} deep")
    indexes = []
    for _ in range(count):
        index, at = _varint(raw, at)
        indexes.append(index)
    return indexes, at


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """A number in zigzag, as the frame has it."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            raise FormatError("unreadable", "ends before its message begins")
        byte = raw[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
    raise FormatError("unreadable", "has no end to a number of its frame")


def _chosen(messages: Sequence[Descriptor], indexes: Sequence[int]) -> Descriptor:
    chosen: Descriptor | None = None
    for index in indexes:
        if not 0 <= index < len(messages):
            raise FormatError("unreadable", f"names message {[*indexes]}, which its file lacks")
        chosen = messages[index]
        messages = chosen.nested_types
    if chosen is None:
        raise FormatError("unreadable", "names no message")
    return chosen


def _document(message: Message) -> Any:
    """A message as a document, with the names of its file; numbers stay numbers."""
    if message.DESCRIPTOR.full_name.startswith(_WELL_KNOWN):
        return json_format.MessageToDict(message, preserving_proto_field_name=True)
    return dict(_members(message))


def _members(message: Message) -> Iterator[tuple[str, Any]]:
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        yield field.name, _value(field, getattr(message, field.name))


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        return {_name(key): _single(inner, one) for key, one in value.items()}
    if field.is_repeated:
        return [_single(field, one) for one in value]
    return _single(field, value)


def _single(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return _document(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    return value


def _name(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
