"""Small makers of records, for tests that run without a broker."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leverframe.schemas.codec import encode
from leverframe.schemas.command import Command
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward
from leverframe.streams.envelope import key_of
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import NamedParams, RouteSettings

T0 = 1_700_000_000_000
MAX_VALUE_BYTES = 100_000
_offsets = itertools.count()


@dataclass(frozen=True)
class Record:
    """A Kafka record as the transport hands it over."""

    key: bytes | None
    value: bytes | None
    timestamp: int = T0
    topic: str = "predictions"
    partition: int = 0
    offset: int = 0


def prediction_record(request_id: str, at: int = 0, **fields: Any) -> Record:
    fields = {"route": "r", "arm": "a", "prediction": 1, **fields}
    prediction = Prediction(request_id=request_id, **fields)
    key = key_of(prediction).encode()
    return Record(key, encode(prediction), T0 + at, offset=next(_offsets))


def label_record(request_id: str, label: Any, at: int = 0, **fields: Any) -> Record:
    truth = GroundTruth(request_id=request_id, label=label, **fields)
    return Record(
        key_of(truth).encode(), encode(truth), T0 + at, topic="ground-truth", offset=next(_offsets)
    )


def reward_record(arm: str, reward: float | None, at: int = 0, **fields: Any) -> Record:
    offset = next(_offsets)
    record = Reward(
        **{
            "request_id": f"q{offset}",
            "route": "r",
            "arm": arm,
            "reward": reward,
            "predicted_at_ms": T0 + at,
            "labelled_at_ms": T0 + at,
            "attributed_at_ms": T0 + at,
            **fields,
        }
    )
    return Record(record.route.encode(), encode(record), T0 + at, topic="rewards", offset=offset)


def command_record(action: Any, arm: str | None = None, at: int = 0, **fields: Any) -> Record:
    offset = next(_offsets)
    command = Command(
        **{
            "command_id": f"c{offset}",
            "route": "r",
            "action": action,
            "arm": arm,
            "actor": "test",
            "issued_at_ms": T0 + at,
            **fields,
        }
    )
    return Record(command.route.encode(), encode(command), T0 + at, topic="commands", offset=offset)


def routes(**settings: Any) -> Routes:
    """One route ``r`` with these settings; any other is unknown."""
    if isinstance(settings.get("reward"), str):
        settings["reward"] = NamedParams(name=settings["reward"])
    if isinstance(settings.get("policy"), str):
        settings["policy"] = NamedParams(name=settings["policy"])
    return Routes({"r": RouteSettings(**settings)}, None)


def learning_runs(records: Sequence[Record]) -> list[tuple[Any, list[Record]]]:
    """Group records into runs of one topic, in order, as ``learn`` takes them."""
    return [(t, list(run)) for t, run in itertools.groupby(records, key=lambda r: r.topic)]


def runs(records: Sequence[Record], is_first: str) -> list[tuple[bool, list[Record]]]:
    """Group records into runs of one topic, in order."""
    grouped = itertools.groupby(records, key=lambda record: record.topic == is_first)
    return [(first, list(run)) for first, run in grouped]
