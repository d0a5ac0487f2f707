"""What a record's fields are, in words that any format can say."""

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct, inspect

__all__ = ["Field", "Form", "Plain", "fields_of"]

Plain: TypeAlias = Literal["boolean", "long", "double", "string", "json"]
Form: TypeAlias = Literal["single", "list", "map"]

_PLAIN: Final[dict[type, Plain]] = {
    inspect.BoolType: "boolean",
    inspect.IntType: "long",
    inspect.FloatType: "double",
    inspect.StrType: "string",
    inspect.LiteralType: "string",
}


class Field(NamedTuple):
    """One field of a record.

    Attributes
    ----------
    name : str
        As in the JSON.
    plain : {"boolean", "long", "double", "string", "json"}
        Of the value, or of each value of a list or a map. ``json``: a map of anything, such as a
        cause, whose text stands in a string: no schema says what it holds.
    form : {"single", "list", "map"}
        How many there are; keys of maps are strings.
    is_nullable : bool
        Whether it may be None.
    is_required : bool
        Whether it has no default.
    default : Any
        What holds where it is left out.
    """

    name: str
    plain: Plain
    form: Form
    is_nullable: bool
    is_required: bool
    default: Any


def fields_of(kind: type[Struct]) -> Iterator[Field]:
    """Yield a record's fields in their order; raises ``TypeError`` for what no format can say."""
    info = inspect.type_info(kind)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{kind} is no struct")
    for one in info.fields:
        plain, form, is_nullable = _described(one.type)
        default = None if one.default is msgspec.NODEFAULT else one.default
        if one.default_factory is not msgspec.NODEFAULT:
            default = one.default_factory()
        yield Field(one.name, plain, form, is_nullable, one.required, default)


def _described(of: Any) -> tuple[Plain, Form, bool]:
    match of:
        case inspect.Metadata():
            return _described(of.type)
        case inspect.UnionType():
            (inner,) = (one for one in of.types if not isinstance(one, inspect.NoneType))
            plain, form, _ = _described(inner)
            return plain, form, True
        case inspect.ListType():
            return _described(of.item_type)[0], "list", False
        case inspect.DictType() if isinstance(of.value_type, inspect.AnyType):
            return "json", "single", False
        case inspect.DictType():
            return _described(of.value_type)[0], "map", False
        case _ if type(of) in _PLAIN:
            return _PLAIN[type(of)], "single", False
    raise TypeError(f"no format says {of!r:.100}")
