"""What the pure steps cost, on one core, without a broker: ``python -m bench.steps``.

Pairs of one route of two arms, five thousand labels a second of stream time, entries through their
codec; the least of several tries.
"""

import gc
import time
from typing import Final

from leverframe.experiments.replay import Record
from leverframe.schemas.codec import encode, encode_reward
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.packed import decode_entry, encode_entry
from leverframe.streams.attribution.step import attribute
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import RouteSettings

PAIRS: Final = 4_000
TRIES: Final = 15
T0: Final = 1_700_000_000_000
_BYTES: Final = 100_000


def main() -> None:
    """Print microseconds for each event of the join, and for each reward of learning."""
    routes = Routes({"r": RouteSettings()}, None)
    predictions, labels, rewards = [], [], []
    for i in range(PAIRS):
        name, arm, at_ms = f"q{i}", "ab"[i % 2], T0 + i // 5
        said = Prediction(request_id=name, route="r", arm=arm, prediction=1, propensity=0.5)
        predictions.append(Record("predictions", i, at_ms, encode(said), name.encode()))
        truth = GroundTruth(request_id=name, label=1)
        labels.append(Record("ground-truth", i, at_ms, encode(truth), name.encode()))
        reward = Reward(
            request_id=name,
            route="r",
            arm=arm,
            reward=float(i % 10 > 0),
            propensity=0.5,
            predicted_at_ms=at_ms,
            labelled_at_ms=at_ms,
            attributed_at_ms=at_ms,
        )
        rewards.append(Record("rewards", i, at_ms, encode_reward(reward), b"r"))
    gc.disable()
    join, fold = [], []
    for _ in range(TRIES):
        began_s = time.process_time()
        waiting = attribute([(True, predictions)], {}, routes, max_value_bytes=_BYTES)
        raw = {name: encode_entry(entry) for name, entry in waiting.entries.items()}
        entries = {name: decode_entry(value) for name, value in raw.items()}
        joined = attribute([(False, labels)], entries, routes, max_value_bytes=_BYTES)
        raw = {name: encode_entry(entry) for name, entry in joined.entries.items()}
        join.append((time.process_time() - began_s) / (2 * PAIRS))
        began_s = time.process_time()
        learn([("rewards", rewards)], {}, routes, max_value_bytes=_BYTES)
        fold.append((time.process_time() - began_s) / PAIRS)
    print(f"join {min(join) * 1e6:.2f} µs an event, learning {min(fold) * 1e6:.2f} µs a reward")


if __name__ == "__main__":
    main()
