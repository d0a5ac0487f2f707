"""One record of others' to records of ours, or the fault and the path that failed. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.sources.documents import (
    Decoded,
    Format,
    FormatError,
    Incoming,
    Schemas,
    SourceRecord,
)
from leverframe.streams.sources.expressions import ExpressionError, compile_expression, is_true
from leverframe.streams.sources.fields import (
    FieldError,
    Reader,
    compile_field,
    refuse_unwritable,
    where,
)
from leverframe.streams.sources.labels import LabelReader, compile_labels
from leverframe.streams.sources.settings import Kind, SourceSettings
from leverframe.streams.sources.written import FIELDS, written_fields

__all__ = ["Canonical", "Fault", "Mapped", "SourceMapping"]

_OF_LABELS: Final = frozenset({"label", "part"})
_encode: Final = msgspec.json.Encoder().encode
_FIELD_OF: Final = re.compile(r" - at `\$\.(\w+)")


class Canonical(Struct, frozen=True, gc=False):
    """A record of ours, ready to be published: which topic's, its key, its bytes, itself."""

    kind: Kind
    request_id: str
    value: bytes
    record: Prediction | GroundTruth


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
        self._fields: list[tuple[str, Reader, bool]] = []
        self._places: dict[str, str] = {}
        for one in msgspec.structs.fields(self._struct):
            own = getattr(settings, one.name)
            if own is not None and one.name not in _OF_LABELS:
                self._fields.append((one.name, compile_field(one.name, own), one.required))
                self._places[one.name] = where(own)
        is_truth = settings.kind == "ground-truth"
        self._labels: LabelReader | None = compile_labels(settings) if is_truth else None
        self._filter = _condition("filter", settings.filter)
        self._withdraw = _condition("withdraw", settings.withdraw)
        self._asks_key = _asks_key(settings)

    def map(self, record: SourceRecord, schemas: Schemas) -> Mapped:
        """Map a record to records of ours, none where it is passed over, or to its fault."""
        return self._or_fault(lambda: self._map(record, schemas))

    def map_document(self, document: Any) -> Mapped:
        """Map a document that lies in no topic, as a row of a file; as ``map``."""

        def made() -> list[Canonical]:
            records = self._records(Incoming(document, None, {}), Decoded(document))
            return [self._encoded(one) for one in records]

        return self._or_fault(made)

    def _or_fault(self, made: Callable[[], list[Canonical]]) -> Mapped:
        try:
            return made()
        except FormatError as error:
            return Fault(source=self.name, reason=error.reason, path="", why=str(error))
        except FieldError as error:
            return Fault(source=self.name, reason="unmappable", path=error.path, why=str(error))

    def _map(self, record: SourceRecord, schemas: Schemas) -> list[Canonical]:
        value = record.value
        if value is None:
            if self.form.passes_tombstones:
                return []
            raise FormatError("tombstone", "the record has no value")
        headers = dict(record.headers)
        decoded = self.form.decode(value, headers, schemas)
        if decoded.change == "skip":
            return []
        key = None
        if self._asks_key and record.key is not None:
            key = self.form.decode_key(record.key, schemas)
        made = self._records(Incoming(decoded.document, key, headers), decoded)
        if decoded.before is not None and self._labels is not None:
            made = self._taken_back(Incoming(decoded.before, key, headers), made) + made
        return [self._encoded(one) for one in made]

    def _records(self, incoming: Incoming, decoded: Decoded) -> list[Prediction | GroundTruth]:
        if self._filter is not None and not self._filter(incoming.document):
            return []
        is_gone = decoded.change == "delete"
        if self._labels is None:
            # A prediction was made, whatever becomes of its row.
            return [] if is_gone else [self._made(self._values(incoming))]
        values = self._values(incoming)
        if self._withdraw is not None and self._withdraw(incoming.document):
            is_gone = True
        labels = self._labels.names(incoming) if is_gone else self._labels.values(incoming)
        return [self._made({**values, "part": part, "label": v}) for part, v in labels]

    def _taken_back(
        self, old: Incoming, new: list[Prediction | GroundTruth]
    ) -> list[Prediction | GroundTruth]:
        """Labels that a row stood for before it was changed, and does not any more."""
        try:
            was = self._records(old, Decoded(old.document, "delete"))
        except (FieldError, FormatError):
            return []  # the row as it was gave no label
        stands = {(one.request_id, getattr(one, "part", "")) for one in new}
        return [one for one in was if (one.request_id, getattr(one, "part", "")) not in stands]

    def _values(self, incoming: Incoming) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, read, is_required in self._fields:
            value = read(incoming)
            if value is not None:
                if type(value) is not str:
                    refuse_unwritable(value, self._places[name])
                values[name] = value
            elif is_required:
                raise FieldError(self._places[name], f"there is nothing, and {name} is required")
        return values

    def _made(self, values: dict[str, Any]) -> Prediction | GroundTruth:
        try:
            made: Any = msgspec.convert(values, self._struct)
        except msgspec.ValidationError as error:
            found = _FIELD_OF.search(str(error))
            name = found[1] if found else ""
            place = self._place(name, values)
            raise FieldError(place, f"as {name or 'a record'}: {error}") from error
        record: Prediction | GroundTruth = made
        if record.request_id < "\x01":
            raise FieldError(self._places["request_id"], "request_id must not begin with NUL")
        return record

    def _place(self, name: str, values: Mapping[str, Any]) -> str:
        if name in _OF_LABELS and self._labels is not None:
            return self._labels.place(values.get("part", ""))
        return self._places.get(name, name)

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


def _asks_key(settings: SourceSettings) -> bool:
    return any(one.key is not None for _, one in written_fields(settings))
