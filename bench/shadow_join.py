"""The join where three arms answer beside each served answer: ``python -m bench.shadow_join``.

As ``bench.steps``: pure steps on one core, entries through their codec at every micro-batch, the
least of several tries. Both sides have the same number of events: pairs of a prediction and a
label, or requests of a served answer, three in shadow and a label. Then the bytes that the ledger
keeps of one request that waits, and of one that was rewarded: key, entry and its part of the index
by which windows end.
"""

import gc
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from leverframe.experiments.replay import Record
from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.attribution.entries import Entry
from leverframe.streams.attribution.expiry import index_changes
from leverframe.streams.attribution.packed import decode_entry, encode_entry
from leverframe.streams.attribution.step import attribute
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import RouteSettings

EVENTS: Final = 20_000
TRIES: Final = 15
SHADOWS: Final = 3
T0: Final = 1_700_000_000_000
_BYTES: Final = 100_000
_PLAIN: Final = Routes({"checkout": RouteSettings()}, None)
_JUDGED: Final = Routes({"checkout": RouteSettings(label_depends_on_answer=False)}, None)


def answers(number: int, shadows: int) -> list[Record]:
    """The served answer of a request, and those beside it, some milliseconds later each."""
    name = f"7c9e6679-7425-40de-944b-{number:012d}"
    at_ms = T0 + number // 5
    made = []
    for at in range(1 + shadows):
        said = Prediction(
            request_id=name, route="checkout", arm=f"model-{at}", prediction=(number + at) % 2,
            propensity=None if at else 0.9, epoch=3, seq=120, served=not at,
        )  # fmt: skip
        made.append(Record("predictions", number, at_ms + 3 * at, encode(said), name.encode()))
    return made


def label(number: int) -> Record:
    """A request's label."""
    name = f"7c9e6679-7425-40de-944b-{number:012d}"
    truth = encode(GroundTruth(request_id=name, label=1))
    return Record("ground-truth", number, T0 + number // 5 + 20, truth, name.encode())


class Side:
    """One kind of requests: what is sent, and what a try costs and leaves."""

    def __init__(self, shadows: int, routes: Routes) -> None:
        self.routes, self.requests = routes, EVENTS // (2 + shadows)
        self.events = self.requests * (2 + shadows)
        self.answers = [one for n in range(self.requests) for one in answers(n, shadows)]
        self.labels = [label(n) for n in range(self.requests)]
        self.rewards = self.requests * (1 + shadows)
        self.waiting_bytes = self.rewarded_bytes = 0.0
        self.seconds: list[float] = []

    def join(self) -> None:
        """Two micro-batches: all answers, then all labels."""
        began_s = time.process_time()
        waiting, raw = self._step([(True, self.answers)], {})
        entries = {name: decode_entry(value) for name, value in raw.items()}
        joined, after = self._step([(False, self.labels)], entries)
        self.seconds.append(time.process_time() - began_s)
        assert len(joined.rewards) == self.rewards  # noqa: S101 - else it measures something else
        index = index_changes(waiting.expiring, b"p00000000")
        indexed = sum(len(key) + len(value or b"") for key, value in index.items())
        self.waiting_bytes = (_size(raw) + indexed) / self.requests
        self.rewarded_bytes = (_size(after) + indexed) / self.requests

    def _step(
        self, batches: Sequence[tuple[bool, list[Record]]], entries: Mapping[str, Entry]
    ) -> tuple[Any, dict[str, bytes]]:
        out = attribute(batches, entries, self.routes, max_value_bytes=_BYTES)
        return out, {name: encode_entry(entry) for name, entry in out.entries.items()}

    @property
    def rate(self) -> float:
        """Events a second, of the best try."""
        return self.events / min(self.seconds)


def _size(raw: Mapping[str, bytes]) -> int:
    return sum(len(name) + len(value) for name, value in raw.items())


def main() -> None:
    """Print both sides and their ratios."""
    sides = {
        "plain pairs": Side(0, _PLAIN),
        "pairs, labels judge all": Side(0, _JUDGED),
        f"{SHADOWS} shadows a request": Side(SHADOWS, _JUDGED),
    }
    gc.disable()
    for _ in range(TRIES):
        for side in sides.values():
            side.join()
    base = sides["plain pairs"]
    for name, side in sides.items():
        print(
            f"{name}: {side.rate:,.0f} events/s ({side.rate / base.rate:.2f}), "
            f"{side.waiting_bytes:.0f} bytes of a waiting request "
            f"({side.waiting_bytes / base.waiting_bytes:.2f}), {side.rewarded_bytes:.0f} of a "
            f"rewarded one ({side.rewarded_bytes / base.rewarded_bytes:.2f})"
        )


if __name__ == "__main__":
    main()
