"""Sizes of a deployment along the axes of growth, and the records of such a one."""

import time
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer

from bench.peers.scene import LABEL_DELAY_MS, PAIRS_PER_MS
from bench.rig.filling import request_id
from bench.rig.load import Keyed, built
from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.topology import Topics

__all__ = ["AXES", "BASE", "QUICK", "Shape", "backlog", "environment_of", "made_pairs"]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment's size.

    Attributes
    ----------
    arms : int
        Of each route.
    routes : int
        With even traffic.
    partitions : int
        Of topics keyed by request; those keyed by route have half as many, one at least.
    waiting : int
        Predictions that wait for their labels beside the drained ones.
    value : int
        Bytes of a prediction's value: a field that nobody reads fills it up, as the features of
        a request would. The label's value keeps its 60 bytes.
    workers : int
        Worker processes, each with a datadir of its own.
    """

    arms: int = 4
    routes: int = 10
    partitions: int = 4
    waiting: int = 0
    value: int = 150
    workers: int = 1

    @property
    def route_partitions(self) -> int:
        """Partitions of topics keyed by route."""
        return max(1, self.partitions // 2)


BASE: Final = Shape()
_FRESH_ROUTES: Final = 10
_FRESH_LABELS: Final = 50

AXES: Final[Mapping[str, tuple[int, ...]]] = {
    "arms": (2, 4, 16, 64, 1000),
    "routes": (1, 10, 100, 1000, 10_000),
    "partitions": (1, 4, 16, 64),
    "waiting": (0, 100_000, 1_000_000, 10_000_000),
    "value": (150, 1500, 10_000),
    "workers": (1, 2),
}
"""Points of each axis, the base among them; nothing else changes along an axis."""

QUICK: Final[Mapping[str, tuple[int, ...]]] = {
    "arms": (4, 64),
    "routes": (1, 10, 1000),
    "partitions": (4, 16),
    "waiting": (0, 100_000),
    "value": (150, 10_000),
    "workers": (1, 2),
}


def environment_of(shape: Shape) -> dict[str, str]:
    """Return the settings of a worker of such a deployment."""
    return {
        "LEVERFRAME_TOPICS__PARTITIONS": str(shape.partitions),
        "LEVERFRAME_TOPICS__ROUTE_PARTITIONS": str(shape.route_partitions),
        "LEVERFRAME_ROUTES__*__MAX_ARMS": "1000",
        "LEVERFRAME_APP__MAX_ROUTES": "100000",
    }


def made_pairs(
    shape: Shape, begin: int, end: int, *, half_fresh: bool = False
) -> Iterator[tuple[Keyed, Keyed]]:
    """Yield predictions with their labels; arms differ in quality, from 0.95 down to 0.5.

    A route that has had many labels seldom needs a new control message, a fresh one often does.

    Examples
    --------
    >>> (key, value), label = next(made_pairs(Shape(value=300), 0, 1))
    >>> len(key), len(value)
    (24, 300)
    """
    for number in range(begin, end):
        name = request_id(number)
        route, arm = f"route-{number % shape.routes}", number // shape.routes % shape.arms
        if half_fresh and number % 2:
            turn, at = divmod(number // 2, _FRESH_LABELS * _FRESH_ROUTES)
            route, arm = f"fresh-{turn}-{at % _FRESH_ROUTES}", at // _FRESH_ROUTES % shape.arms % 4
        prediction = Prediction(
            request_id=name,
            route=route,
            arm=f"arm-{arm}",
            prediction=1,
            propensity=1 / shape.arms,
        )
        quality = 0.95 - 0.45 * arm / shape.arms
        # Weyl's sequence: as evenly spread as chance would have it, and the same each time.
        label = GroundTruth(request_id=name, label=int(number * 0.6180339887498949 % 1 < quality))
        yield (
            (name.encode(), filled_up(encode(prediction), shape.value)),
            (name.encode(), encode(label)),
        )


def filled_up(value: bytes, size: int) -> bytes:
    """Return a JSON object with a field that nobody reads, so that it has a given size.

    Examples
    --------
    >>> filled_up(b'{"a":1}', 20)
    b'{"a":1,"filler":"x"}'
    """
    head = value[:-1] + b',"filler":"'
    lacking = size - len(head) - 2
    return value if lacking < 0 else head + b"x" * lacking + b'"}'


def backlog(
    producer: AIOKafkaProducer, topics: Topics, shape: Shape, pairs: int
) -> Iterator[tuple[str, int, Any]]:
    """Yield built batches of predictions and of labels in turn, with a backlog's record times."""
    made = list(made_pairs(shape, shape.waiting, shape.waiting + pairs))
    begin_ms = time.time_ns() // 1_000_000 - pairs // PAIRS_PER_MS - LABEL_DELAY_MS
    both = []
    for topic, which, delay_ms in (
        (topics.predictions, 0, 0),
        (topics.ground_truth, 1, LABEL_DELAY_MS),
    ):
        times_ms = [begin_ms + delay_ms + at // PAIRS_PER_MS for at in range(pairs)]
        records = (pair[which] for pair in made)
        both.append([(topic, *one) for one in built(producer, shape.partitions, records, times_ms)])
    for one, other in zip_longest(*both):
        yield from (batch for batch in (one, other) if batch is not None)
