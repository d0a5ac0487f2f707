"""What predictions measured: told to learning as soon as they are read, without waiting for labels.

A value that is no finite number costs its prediction nothing: the rest of the record counts.
"""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from leverframe.schemas.codec import DECODE_ERRORS, decoder
from leverframe.schemas.errors import RecordError
from leverframe.schemas.measurements import Measured, Measurements
from leverframe.schemas.prediction import Prediction
from leverframe.streams.attribution.entries import Waiting, priced
from leverframe.streams.routes.metrics import MOST_METRICS, Metric

__all__ = ["Measurement", "measured_by", "records_of", "with_price", "without_bad_metrics"]

Measurement = tuple[str, Measured]
"""Route, and what was measured."""
_MOST_BYTES: Final = 60_000
"""Of a record, about: far below Kafka's limit of 1 MB however long names are."""
_LARGEST: Final = 1e308  # as schemas.fields.FiniteNumber has it
_decode: Final = decoder(Prediction)


def measured_by(prediction: Prediction, metrics: Iterable[Metric], at_ms: int) -> Measured | None:
    """Return what a prediction says of the metrics of its route; None where that is nothing."""
    told = prediction.metrics or {}
    values = {one.name: told[one.name] for one in metrics if one.name in told}
    if not values:
        return None
    return Measured(arm=prediction.arm, at_ms=at_ms, values=values, unit_id=prediction.unit_id)


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
    return 80 + 4 * names + 28 * len(one.values)


class _NoNumber:
    """What stands for NaN and infinity, which JSON does not have."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def without_bad_metrics(value: bytes) -> tuple[Prediction, RecordError] | None:
    """Return a prediction with its sound metrics alone, and what is wrong with the others.

    None where something else is wrong with the record.
    """
    if b'"metrics"' not in value:
        return None
    try:
        told = json.loads(value, parse_constant=_NoNumber)
        metrics = told.pop("metrics")
        # Encoded again, so that the rest is decoded as strictly as ever.
        prediction = _decode(msgspec.json.encode(told))
    except (*DECODE_ERRORS, ValueError, TypeError, AttributeError, KeyError):
        return None
    sound, faults = _sorted_out(metrics)
    if not faults:
        return None
    detail = f"{'; '.join(faults)}; the prediction itself counts"
    return msgspec.structs.replace(prediction, metrics=sound), RecordError("bad_metric", detail)


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
