"""One field of ours out of a record of others': where it is, what is done to it, what it must be.

A field is compiled once into one function; a plain path without anything else costs no more than
its walk.
"""

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgspec import Struct

from leverframe.streams.sources.documents import Incoming
from leverframe.streams.sources.expressions import (
    Expression,
    ExpressionError,
    compile_expression,
    plain_walk,
)
from leverframe.streams.sources.settings import FieldSettings
from leverframe.streams.sources.times import to_ms

__all__ = [
    "Field",
    "FieldError",
    "Reader",
    "compile_field",
    "field_faults",
    "make_field",
    "refuse_unwritable",
    "where",
]

Reader: TypeAlias = Callable[[Incoming], Any]
"""From a record to a field's value; None where the record has none. Raises ``FieldError``."""

_TEXTS: Final = frozenset({"request_id", "route", "arm", "unit_id", "replica", "part"})
_TIMES: Final = frozenset({"predicted_at_ms", "labelled_at_ms"})
_NUMBERS: Final = frozenset({"propensity", "epoch", "seq", "weight", "metrics"})
_BOOLS: Final = frozenset({"shown", "served"})
_TRUE: Final = frozenset({"true", "yes", "1"})
_FALSE: Final = frozenset({"false", "no", "0"})


class FieldError(ValueError):
    """A record has no such value for a field; ``path`` says where it was looked for."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(why)
        self.path = path


def where(settings: FieldSettings) -> str:
    """Say where a field is looked for, as in dead letters: a path, ``header NAME``, ``key PATH``.

    Examples
    --------
    >>> where(FieldSettings(path="payload.id")), where(FieldSettings(header="model"))
    ('payload.id', 'header model')
    """
    if settings.path is not None:
        return settings.path
    if settings.header is not None:
        return f"header {settings.header}"
    if settings.key is not None:
        return f"key {settings.key}"
    return "value"


def field_faults(settings: FieldSettings) -> list[tuple[str, str]]:
    """Find what is wrong with a field's settings: key and text of each fault."""
    origins = [
        name for name in ("path", "header", "key", "value") if getattr(settings, name) is not None
    ]
    faults = []
    if len(origins) != 1:
        told = " and ".join(origins) or "none"
        faults.append(("path", f"give one of path, header, key and value; got {told}"))
    for name in ("path", "key"):
        if (text := getattr(settings, name)) is not None:
            try:
                compile_expression(text)
            except ExpressionError as error:
                faults.append((name, str(error)))
    if settings.pattern is not None:
        try:
            re.compile(settings.pattern)
        except re.error as error:
            faults.append(("pattern", f"{settings.pattern!r} is no regular expression: {error}"))
    return faults


class Field(Struct, frozen=True):
    """A field of a record, compiled.

    Attributes
    ----------
    name : str
        Its name in our record.
    walk : Expression or None
        Where it is a plain path: finds the value without any call more.
    passes : frozenset of type
        What the walk may find that needs nothing done to it.
    read : Reader
        Reads it in any case.
    missing : str
        What is wrong where there is nothing; empty for a field that may be left out.
    place : str
        Where it is looked for.
    """

    name: str
    walk: Expression | None
    passes: frozenset[type]
    read: Reader
    missing: str
    place: str


def make_field(name: str, settings: FieldSettings, missing: str) -> Field:
    """Compile a field with all that a mapping asks of it."""
    is_plain = settings.path is not None and not (settings.pattern or settings.map or settings.type)
    passes = _passes(name, settings) if is_plain else frozenset[type]()
    walk = plain_walk(settings.path or "") if passes else None
    return Field(name, walk, passes, compile_field(name, settings), missing, where(settings))


def _passes(name: str, settings: FieldSettings) -> frozenset[type]:
    """Types that a field has anyway; numbers that may be none (NaN) are looked at."""
    if name in _TEXTS:
        return frozenset({str})
    if name in _TIMES:
        return frozenset({int}) if settings.unit == "ms" else frozenset()
    if name in _BOOLS:
        return frozenset({bool})
    return frozenset({str, int, bool}) if name in {"label", "prediction"} else frozenset({int})


def compile_field(name: str, settings: FieldSettings) -> Reader:
    """Compile a field of a prediction or label, whose settings have no faults."""
    place = where(settings)
    origin = _origin(settings)
    changes = [*_changes(name, settings)]
    default = settings.default
    if not changes and default is None:
        return origin

    def read(incoming: Incoming) -> Any:
        value = origin(incoming)
        if value is None:
            return default
        try:
            for change in changes:
                value = change(value)
        except ValueError as error:
            raise FieldError(place, str(error)) from error
        return value

    return read


def refuse_unwritable(value: Any, place: str) -> None:
    """Raise ``FieldError`` for a number that JSON has not: as null it would take a label back."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise FieldError(place, f"is {value}, which is no number")
    elif isinstance(value, dict):
        for name, one in value.items():
            refuse_unwritable(one, f"{place}.{name}")
    elif isinstance(value, list):
        for one in value:
            refuse_unwritable(one, place)


def _origin(settings: FieldSettings) -> Reader:
    if settings.value is not None:
        constant = settings.value
        return lambda _: constant
    if settings.header is not None:
        return _header(settings.header)
    is_key = settings.key is not None
    text = settings.key if is_key else settings.path
    found = compile_expression(text or "@")

    def read(incoming: Incoming) -> Any:
        try:
            return found(incoming.key if is_key else incoming.document)
        except ExpressionError as error:
            raise FieldError(where(settings), str(error)) from error

    return read


def _header(name: str) -> Reader:
    def read(incoming: Incoming) -> Any:
        raw = incoming.headers.get(name)
        if raw is None:
            return None
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise FieldError(f"header {name}", "is not UTF-8") from error

    return read


Step: TypeAlias = Callable[[Any], Any]


def _changes(name: str, settings: FieldSettings) -> "list[Step]":
    steps: list[Step] = []
    if settings.pattern is not None:
        steps.append(_matched(re.compile(settings.pattern)))
    if settings.map:
        steps.append(_mapped(settings.map))
    if settings.type is not None:
        steps.append(_TYPES[settings.type])
    kind = _kind(name, settings)
    if kind is not None and (kind is not _plain or not steps):
        steps.append(kind)
    return steps


def _kind(name: str, settings: FieldSettings) -> Step | None:
    """What makes a value what its field must be."""
    if name in _TIMES:
        return lambda value: to_ms(value, settings.unit)
    if name in _TEXTS:
        return _text
    if name in _NUMBERS:
        return _number
    if name in _BOOLS:
        return _bool
    return _plain if name in {"label", "prediction"} else None


def _matched(pattern: "re.Pattern[str]") -> Step:
    def match(value: Any) -> str:
        text = _text(value)
        found = pattern.fullmatch(text)
        if found is None:
            raise ValueError(f"is {text!r:.80}, which does not match {pattern.pattern!r}")
        group: str = found[1] if pattern.groups else found[0]
        return group

    return match


def _mapped(table: Mapping[str, Any]) -> Step:
    def translate(value: Any) -> Any:
        text = _text(value)
        if text not in table:
            raise ValueError(f"is {text!r:.80}, which map does not have: {', '.join(table)}")
        return table[text]

    return translate


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal | UUID):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"is {value!r:.80}, which is not UTF-8") from error
    raise ValueError(f"is {value!r:.80}, not a text")


def _number(value: Any) -> float | int:
    if isinstance(value, bool | int | float):
        return value
    try:
        text = str(value)
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError as error:
        raise ValueError(f"is {value!r:.80}, not a number") from error


def _bool(value: Any) -> bool:
    text = _text(value).lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"is {value!r:.80}, neither true nor false")


def _auto(value: Any) -> Any:
    if not isinstance(value, str):
        return _plain(value)
    if value.lower() in {"true", "false"}:
        return value.lower() == "true"
    try:
        return _number(value) if "_" not in value else value
    except ValueError:
        return value


def _plain(value: Any) -> Any:
    """What JSON has no kind for, made what it stands for."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    return value


_TYPES: Final[Mapping[str, Step]] = {
    "number": _number,
    "text": _text,
    "bool": _bool,
    "auto": _auto,
}
