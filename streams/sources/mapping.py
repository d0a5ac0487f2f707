"""One record of others' to records of ours, or the fault and the path that failed. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.envelope import key_of
from leverframe.streams.sources.documents import (
    Decoded,
    Format,
    FormatError,
    Incoming,
    Schemas,
    SourceRecord,
)
from leverframe.streams.sources.expressions import ExpressionError, compile_expression, is_true
from leverframe.streams.sources.fields import Field, FieldError, make_field, refuse_unwritable
from leverframe.streams.sources.labels import PartsReader, compile_parts
from leverframe.streams.sources.settings import Kind, SourceSettings
from leverframe.streams.sources.written import FIELDS, written_fields

__all__ = ["Canonical", "Fault", "Mapped", "SourceMapping"]

_NO_HEADERS: Final[Mapping[str, bytes | None]] = {}
_encode: Final = msgspec.json.Encoder().encode
_FIELD_OF: Final = re.compile(r" - at `\$\.(\w+)")


class Canonical(Struct, frozen=True, gc=False):
    """A record of ours, ready to be published: which topic's, its key, its bytes, itself."""

    kind: Kind
    request_id: str
    value: bytes
    record: Prediction | GroundTruth

    @property
    def key(self) -> bytes:
        """The request, or its session."""
        return key_of(self.record).encode()


class Fault(Struct, frozen=True, kw_only=True):
    """Why a record became nothing of ours.

    Attributes
    ----------
    source : str
        Name of the source.
    reason : str
        That of the dead letter.
    path : str
        What was asked of the record; empty where it could not be read at all.
    why : str
        What is wrong there.
    """

    source: str
    reason: str
    path: str
    why: str

    @property
    def detail(self) -> str:
        """It all, for people."""
        at = f"{self.path}: " if self.path else ""
        return f"source {self.source}: {at}{self.why}"


Mapped: TypeAlias = list[Canonical] | Fault


class SourceMapping:
    """A source's settings, compiled; they must be without faults (``source_faults``).

    Parameters
    ----------
    name : str
        The source's.
    settings : SourceSettings
        As written.
    form : Format
        Of its records.
    max_value_bytes : int
        Largest record of ours.
    """

    def __init__(
        self, name: str, settings: SourceSettings, form: Format, max_value_bytes: int
    ) -> None:
        self.name = name
        self.settings = settings
        self.form = form
        self._most = max_value_bytes
        self._kind: Kind = settings.kind
        self._struct = FIELDS[settings.kind]
        self._fields = [*_fields(settings, self._struct)]
        # Of a record that takes its label back, which it need not have.
        self._without_label = [one for one in self._fields if one.name != "label"]
        self._places = {one.name: one.place for one in self._fields}
        self._metrics = [make_field("metrics", own, "") for own in settings.metrics.values()]
        self._parts: PartsReader | None = compile_parts(settings)
        self._filter = _condition("filter", settings.filter)
        self._withdraw = _condition("withdraw", settings.withdraw)
        self._asks_key = any(one.key is not None for _, one in written_fields(settings))

    def map(self, record: SourceRecord, schemas: Schemas) -> Mapped:
        """Map a record to records of ours, none where it is passed over, or to its fault."""
        try:
            value = record.value
            if value is None:
                return self._tombstone()
            headers = dict(record.headers) if record.headers else _NO_HEADERS
            decoded = self.form.decode(value, headers, schemas)
            if decoded.change == "skip":
                return []
            key = None
            if self._asks_key and record.key is not None:
                key = self.form.decode_key(record.key, schemas)
            return self._mapped(decoded, Incoming(decoded.document, key, headers))
        except (FormatError, FieldError) as error:
            return self._fault(error)
        except Exception as error:  # noqa: BLE001 - a record that ends the worker does so for ever
            return Fault(
                source=self.name,
                reason="unreadable",
                path="",
                why=f"ends in an error that was not foreseen: {error!r:.200}",
            )

    def map_document(self, document: Any) -> Mapped:
        """Map a document that lies in no topic, as a row of a file; as ``map``."""
        try:
            return self._mapped(Decoded(document), Incoming(document, None, _NO_HEADERS))
        except (FormatError, FieldError) as error:
            return self._fault(error)

    def _fault(self, error: FormatError | FieldError) -> Fault:
        if isinstance(error, FormatError):
            return Fault(source=self.name, reason=error.reason, path="", why=str(error))
        return Fault(source=self.name, reason="unmappable", path=error.path, why=str(error))

    def _tombstone(self) -> list[Canonical]:
        if self.form.passes_tombstones:
            return []
        raise FormatError("tombstone", "the record has no value")

    def _mapped(self, decoded: Decoded, incoming: Incoming) -> list[Canonical]:
        made = self._records(incoming, is_gone=decoded.change == "delete")
        if decoded.before is not None and self._kind == "ground-truth":
            old = Incoming(decoded.before, incoming.key, incoming.headers)
            made = self._taken_back(old, made) + made
        return [self._encoded(one) for one in made]

    def _records(self, incoming: Incoming, *, is_gone: bool) -> list[Prediction | GroundTruth]:
        if self._filter is not None and not self._filter(incoming.document):
            return []
        if self._kind == "prediction":
            # A prediction was made, whatever becomes of its row.
            return [] if is_gone else [self._made(self._whole(incoming))]
        if self._withdraw is not None and self._withdraw(incoming.document):
            is_gone = True
        if self._parts is None and not is_gone:
            return [self._made(self._whole(incoming))]
        if self._parts is None:
            return [self._made({**self._values(incoming, self._without_label), "label": None})]
        values = self._whole(incoming, self._without_label)
        labels = self._parts.names(incoming) if is_gone else self._parts.values(incoming)
        return [self._made({**values, "part": part, "label": v}) for part, v in labels]

    def _taken_back(
        self, old: Incoming, new: list[Prediction | GroundTruth]
    ) -> list[Prediction | GroundTruth]:
        """Labels that a row stood for before it was changed, and does not any more."""
        try:
            was = self._records(old, is_gone=True)
        except (FieldError, FormatError):
            return []  # the row as it was gave no label
        stands = {(one.request_id, getattr(one, "part", "")) for one in new}
        return [one for one in was if (one.request_id, getattr(one, "part", "")) not in stands]

    def _whole(self, incoming: Incoming, fields: Sequence[Field] | None = None) -> dict[str, Any]:
        """The values of a record, and what was measured."""
        values = self._values(incoming, self._fields if fields is None else fields)
        if self._metrics:
            read = zip(self.settings.metrics, self._metrics, strict=True)
            found = {name: self._values(incoming, [one]).get("metrics") for name, one in read}
            values["metrics"] = {name: one for name, one in found.items() if one is not None}
        return values

    def _values(self, incoming: Incoming, fields: Sequence[Field]) -> dict[str, Any]:
        document, values = incoming.document, dict[str, Any]()
        for field in fields:
            if field.walk is not None:
                value = field.walk(document)
                if type(value) in field.passes:
                    values[field.name] = value
                    continue
            value = field.read(incoming)
            if value is not None:
                refuse_unwritable(value, field.place)
                values[field.name] = value
            elif field.missing:
                raise FieldError(field.place, field.missing)
        return values

    def _made(self, values: dict[str, Any]) -> Prediction | GroundTruth:
        try:
            made: Any = msgspec.convert(values, self._struct)
        except msgspec.ValidationError as error:
            found = _FIELD_OF.search(str(error))
            name = found[1] if found else ""
            part = values.get("part", "")
            is_part = name in {"label", "part"} and self._parts is not None
            place = (
                self._parts.place(part) if is_part and self._parts else self._places.get(name, name)
            )
            raise FieldError(place, f"as {name or 'a record'}: {error}") from error
        record: Prediction | GroundTruth = made
        if record.request_id < "\x01":
            raise FieldError(self._places["request_id"], "request_id must not begin with NUL")
        return record

    def _encoded(self, record: Prediction | GroundTruth) -> Canonical:
        try:
            value = _encode(record)
        except (UnicodeEncodeError, ValueError, OverflowError) as error:
            raise FieldError("value", f"cannot be written as JSON: {error}") from error
        if len(value) > self._most:
            raise FormatError(
                "oversized", f"becomes {len(value)} bytes, at most {self._most} are accepted"
            )
        return Canonical(self._kind, record.request_id, value, record)


def _condition(key: str, text: str) -> Callable[[Any], bool] | None:
    if not text:
        return None
    found = compile_expression(text)

    def holds(document: Any) -> bool:
        try:
            return is_true(found(document))
        except ExpressionError as error:
            raise FieldError(key, str(error)) from error

    return holds


def _fields(settings: SourceSettings, struct: type[Struct]) -> Iterator[Field]:
    for one in msgspec.structs.fields(struct):
        if one.name == "metrics":
            continue  # a table, not a field
        own = getattr(settings, one.name, None)
        if own is not None:
            missing = f"there is nothing, and {one.name} is required" if one.required else ""
            yield make_field(one.name, own, _NO_LABEL if one.name == "label" else missing)


_NO_LABEL: Final = (
    "there is nothing; pass such records over with a filter, or let them take the label back with "
    "withdraw"
)
