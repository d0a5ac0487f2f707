"""The parts of a label: several paths, or each member of an object."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from leverframe.streams.sources.documents import Incoming
from leverframe.streams.sources.fields import (
    FieldError,
    Reader,
    compile_field,
    refuse_unwritable,
    where,
)
from leverframe.streams.sources.settings import FieldSettings, SourceSettings

__all__ = ["Labels", "PartsReader", "compile_parts"]

Labels: TypeAlias = Iterable[tuple[str, Any]]
"""Part and value."""


class PartsReader(Protocol):
    """Reads what parts of a label a record has. All raise ``FieldError``."""

    def values(self, incoming: Incoming) -> Labels:
        """Return each part with its value, at least one."""

    def names(self, incoming: Incoming) -> Labels:
        """Return each part with None, for a record that takes them back."""

    def place(self, part: str) -> str:
        """Say where a part is looked for."""


def compile_parts(settings: SourceSettings) -> PartsReader | None:
    """Compile the parts of a source's labels; None where a label is one."""
    if settings.parts_of is not None:
        return _Members(
            compile_field("", FieldSettings(**_origin(settings.parts_of))),
            _each(settings.parts_of),
            where(settings.parts_of),
        )
    if settings.parts:
        readers = {part: compile_field("label", one) for part, one in settings.parts.items()}
        return _Parts(readers, {part: where(one) for part, one in settings.parts.items()})
    return None


class _Parts(Struct, frozen=True):
    """A record has several parts, each at its place."""

    readers: dict[str, Reader]
    places: dict[str, str]

    def values(self, incoming: Incoming) -> Labels:
        read = ((part, read(incoming)) for part, read in self.readers.items())
        found = [(part, _writable(v, self.places[part])) for part, v in read if v is not None]
        if not found:
            raise FieldError("parts", f"there is none of {', '.join(self.readers)}")
        return found

    def names(self, incoming: Incoming) -> Labels:
        del incoming
        return [(part, None) for part in self.readers]

    def place(self, part: str) -> str:
        return self.places.get(part, "parts")


class _Members(Struct, frozen=True):
    """Each member of an object is a part."""

    read: Reader
    each: Reader
    at: str

    def values(self, incoming: Incoming) -> Labels:
        found = [
            (part, _writable(self.each(Incoming(value, None, {})), f"{self.at}.{part}"))
            for part, value in self._members(incoming)
            if value is not None
        ]
        if not found:
            raise FieldError(self.at, "the object has no members")
        return found

    def names(self, incoming: Incoming) -> Labels:
        return [(part, None) for part, _ in self._members(incoming)]

    def place(self, part: str) -> str:
        return f"{self.at}.{part}"

    def _members(self, incoming: Incoming) -> Iterator[tuple[str, Any]]:
        found = self.read(incoming)
        if not isinstance(found, dict):
            told = "nothing" if found is None else f"{found!r:.80}"
            raise FieldError(self.at, f"there is {told}, not an object with a member for each part")
        yield from found.items()


def _writable(value: Any, place: str) -> Any:
    refuse_unwritable(value, place)
    return value


def _origin(settings: FieldSettings) -> dict[str, Any]:
    return {"path": settings.path, "header": settings.header, "key": settings.key}


def _each(settings: FieldSettings) -> Reader:
    """What is done to each member: the changes of the field, on the value itself."""
    own = FieldSettings(path="@", pattern=settings.pattern, map=settings.map, type=settings.type)
    return compile_field("label", own)
