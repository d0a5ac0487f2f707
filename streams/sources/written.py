"""Which fields a source may have, and which are written."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.sources.settings import FieldSettings, Kind, SourceSettings

__all__ = ["FIELDS", "written_fields"]

FIELDS: Final[Mapping[Kind, type[Struct]]] = {
    "prediction": Prediction,
    "ground-truth": GroundTruth,
}
# Of whoever writes a record, and so ours; and a table, not a field.
_OTHERS: Final = frozenset({"schema_version", "metrics"})
_NAMES: Final = tuple(
    dict.fromkeys(
        one.name
        for kind in FIELDS.values()
        for one in msgspec.structs.fields(kind)
        if one.name not in _OTHERS
    )
)


def written_fields(settings: SourceSettings) -> Iterator[tuple[str, FieldSettings]]:
    """Yield each field that is written, parts and metrics too, with its key in the settings."""
    for name in (*_NAMES, "parts_of"):
        if (one := getattr(settings, name)) is not None:
            yield name, one
    for part, one in settings.parts.items():
        yield f"parts.{part}", one
    for metric, one in settings.metrics.items():
        yield f"metrics.{metric}", one
