"""Records in Protobuf: the file that describes them, and what writes a message of it.

Fields are numbered in the order of the record, so a new one stands last: a number never changes
its meaning (tests/golden/versions).
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from msgspec import Struct

from leverframe.streams.copies.fields import Field, fields_of

__all__ = ["ProtobufCopy", "proto_descriptor", "proto_file"]

_PACKAGE: Final = "leverframe"
# The file has one message; a registry's frame says so with this byte.
_FIRST_MESSAGE: Final = b"\0"
_NAMES: Final = {
    "boolean": "bool",
    "long": "int64",
    "double": "double",
    "string": "string",
    "json": "string",
}
_TYPES: Final = {
    "boolean": FieldDescriptorProto.TYPE_BOOL,
    "long": FieldDescriptorProto.TYPE_INT64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "string": FieldDescriptorProto.TYPE_STRING,
    "json": FieldDescriptorProto.TYPE_STRING,
}


def proto_file(kind: type[Struct]) -> str:
    """Return the ``.proto`` file of a record, as a registry and ``protoc`` take it.

    Examples
    --------
    >>> from leverframe.schemas.reward import Reward
    >>> proto_file(Reward).splitlines()[3:5]
    ['message Reward {', '  optional string request_id = 1;']
    """
    lines = ['syntax = "proto3";', f"package {_PACKAGE};", "", f"message {kind.__name__} {{"]
    for number, one in enumerate(fields_of(kind), 1):
        lines.append(f"  {_declared(one)} {one.name} = {number};")
    return "\n".join([*lines, "}", ""])


def proto_descriptor(kind: type[Struct]) -> descriptor_pb2.FileDescriptorProto:
    """Return what ``protoc`` makes of the file."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}/{kind.__name__}.proto", package=_PACKAGE, syntax="proto3"
    )
    message = file.message_type.add(name=kind.__name__)
    for number, one in enumerate(fields_of(kind), 1):
        _describe(message, one, number)
    return file


class ProtobufCopy:
    """Writes a kind of record in Protobuf."""

    registered_as = "PROTOBUF"

    def __init__(self, kind: type[Struct]) -> None:
        self.schema = proto_file(kind)
        pool = descriptor_pool.DescriptorPool()
        file = pool.AddSerializedFile(proto_descriptor(kind).SerializeToString())
        described = file.message_types_by_name[kind.__name__]
        self._message = message_factory.GetMessageClass(described)
        self._fields = [(one.name, _writer(one)) for one in fields_of(kind)]

    def encode(self, record: Struct) -> bytes:
        """Return what comes after a registry's frame."""
        message = self._message()
        for name, write in self._fields:
            value = getattr(record, name)
            if value is not None:
                write(message, value)
        return _FIRST_MESSAGE + message.SerializeToString(deterministic=True)


def _declared(of: Field) -> str:
    name = _NAMES[of.plain]
    match of.form:
        case "list":
            return f"repeated {name}"
        case "map":
            return f"map<string, {name}>"
        case "single":
            return f"optional {name}"


def _describe(message: Any, of: Field, number: int) -> None:
    field = message.field.add(name=of.name, number=number)
    match of.form:
        case "list":
            field.type, field.label = _TYPES[of.plain], FieldDescriptorProto.LABEL_REPEATED
        case "map":
            name = f"{of.name.title().replace('_', '')}Entry"
            entry = message.nested_type.add(name=name)
            entry.options.map_entry = True
            optional = FieldDescriptorProto.LABEL_OPTIONAL
            entry.field.add(name="key", number=1, type=_TYPES["string"], label=optional)
            entry.field.add(name="value", number=2, type=_TYPES[of.plain], label=optional)
            field.type, field.label = (
                FieldDescriptorProto.TYPE_MESSAGE,
                FieldDescriptorProto.LABEL_REPEATED,
            )
            field.type_name = f".{_PACKAGE}.{message.name}.{name}"
        case "single":
            field.type, field.label = _TYPES[of.plain], FieldDescriptorProto.LABEL_OPTIONAL
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{of.name}")


def _writer(of: Field) -> Callable[[Any, Any], None]:
    if of.plain == "json":
        return lambda message, value: setattr(message, of.name, msgspec.json.encode(value).decode())
    match of.form:
        case "list":
            return lambda message, value: getattr(message, of.name).extend(value)
        case "map":
            return lambda message, value: getattr(message, of.name).update(value)
        case "single":
            return lambda message, value: setattr(message, of.name, value)
