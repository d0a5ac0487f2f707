"""What predictions measured, and labels: told to learning as soon as they are read.

A value that is no finite number costs its record nothing: the rest of it counts.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from leverframe.schemas.codec import DECODE_ERRORS
from leverframe.schemas.errors import RecordError
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.measurements import Measured, Measurements
from leverframe.schemas.prediction import Prediction
from leverframe.streams.attribution.entries import Waiting, priced, unit_of
from leverframe.streams.routes.metrics import MOST_METRICS, Metric

__all__ = [
    "Half",
    "Measurement",
    "measured_by",
    "measured_by_label",
    "records_of",
    "with_price",
    "without_bad_metrics",
]

Half: TypeAlias = Prediction | GroundTruth
"""Of a pair."""
Measurement = tuple[str, Measured]
"""Route, and what was measured."""
_MOST_BYTES: Final = 60_000
"""Of a record, about: far below Kafka's limit of 1 MB however long names are."""
_LARGEST: Final = 1e308  # as schemas.fields.FiniteNumber has it


def measured_by(prediction: Prediction, metrics: Iterable[Metric], at_ms: int) -> Measured | None:
    """Return what a prediction says of the metrics of its route; None where that is nothing."""
    values = _declared(prediction.metrics, metrics)
    if not values:
        return None
    return Measured(
        arm=prediction.arm,
        at_ms=at_ms,
        values=values,
        unit_id=prediction.unit_id,
        propensity=prediction.propensity,
    )


def measured_by_label(
    waiting: Waiting, told: Mapping[str, float] | None, metrics: Iterable[Metric]
) -> Measured | None:
    """Return what the first label of an answer says of the metrics of its route."""
    values = _declared(told, metrics)
    if not values or not (waiting.served and waiting.shown):
        return None
    return Measured(
        arm=waiting.arm,
        at_ms=waiting.arrived_ms,
        values=values,
        unit_id=unit_of(waiting),
        propensity=waiting.propensity,
        by_label=True,
    )


def _declared(told: Mapping[str, float] | None, metrics: Iterable[Metric]) -> dict[str, float]:
    return {one.name: told[one.name] for one in metrics if one.name in told} if told else {}


def with_price(waiting: Waiting, prediction: Prediction, prices: Iterable[Metric]) -> Waiting:
    """Return the entry of an answer with what its metrics add to its reward, if it was served."""
    if not prediction.served:
        return waiting
    told = prediction.metrics or {}
    return priced(waiting, math.fsum(one.price(told.get(one.name)) for one in prices))


def records_of(measured: Iterable[Measurement]) -> Iterator[Measurements]:
    """Yield records for learning: one of each route, or several where one would be large."""
    open_ones: dict[str, list[Measured]] = {}
    sizes: dict[str, int] = {}
    for route, one in measured:
        open_ones.setdefault(route, []).append(one)
        sizes[route] = sizes.get(route, 0) + _most_bytes(one)
        if sizes[route] >= _MOST_BYTES:
            yield Measurements(route=route, measured=open_ones.pop(route))
            del sizes[route]
    for route, rest in open_ones.items():
        yield Measurements(route=route, measured=rest)


def _most_bytes(one: Measured) -> int:
    """The most that it takes, where each character is four bytes."""
    names = len(one.arm) + len(one.unit_id or "") + sum(map(len, one.values))
    return 120 + 4 * names + 28 * len(one.values)


class _NoNumber:
    """What stands for NaN and infinity, which JSON does not have."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def without_bad_metrics(
    value: bytes, decode: Callable[[bytes], Half]
) -> tuple[Half, RecordError] | None:
    """Return a record with its sound metrics alone, and what is wrong with the others.

    None where something else is wrong with the record.
    """
    if b'"metrics"' not in value:
        return None
    try:
        told = json.loads(value, parse_constant=_NoNumber)
        metrics = told.pop("metrics")
        # Encoded again, so that the rest is decoded as strictly as ever.
        record = decode(msgspec.json.encode(told))
    except (*DECODE_ERRORS, ValueError, TypeError, AttributeError, KeyError):
        return None
    sound, faults = _sorted_out(metrics)
    if not faults:
        return None
    detail = f"{'; '.join(faults)}; the rest of the record counts"
    return msgspec.structs.replace(record, metrics=sound), RecordError("bad_metric", detail)


def _sorted_out(metrics: Any) -> tuple[dict[str, float] | None, list[str]]:
    """The values that can be used, and a fault for each other one."""
    if not isinstance(metrics, dict):
        return None, [f"$.metrics: expected an object of numbers, got {_shown(metrics)}"]
    if len(metrics) > MOST_METRICS:
        return None, [f"$.metrics: at most {MOST_METRICS} values, got {len(metrics)}"]
    sound = {name: float(one) for name, one in metrics.items() if _is_sound(name, one)}
    faults = [
        f"$.metrics.{name[:64]}: expected a finite number, got {_shown(one)}"
        if 0 < len(name) <= 64
        else f"$.metrics: a name has 1 to 64 characters, got {_shown(name)}"
        for name, one in metrics.items()
        if name not in sound
    ]
    return sound, faults


def _is_sound(name: str, value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return 0 < len(name) <= 64 and is_number and abs(value) <= _LARGEST


def _shown(value: Any) -> str:
    return f"{value!r:.80}"
