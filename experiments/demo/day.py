"""A scripted day of labels as they really come: what is sent, and what the oracle must be told."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from leverframe.experiments.oracle import Labelled, Predicted, Rules
from leverframe.policies.units import NANO
from leverframe.schemas.codec import encode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction

__all__ = [
    "ARMS",
    "BUCKET_MS",
    "DEAREST",
    "HOUR_MS",
    "ROUTES",
    "RULES",
    "Day",
    "Sent",
    "write_day",
]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
BUCKET_MS: Final = 10 * MINUTE_MS
ARMS: Final = ("current", "smaller", "next")
DEAREST: Final = 60

RULES: Final[dict[str, dict[str, Any]]] = {
    # A click is 1, an order its value; no click within half an hour is 0; a return takes it back.
    "shop": {
        "window_s": 6 * 3600,
        "reward": {"name": "label", "params": {"low": 0.0, "high": float(DEAREST)}},
        "combine_parts": "sum",
        "default_reward": 0.0,
        "default_after_s": 30 * 60,
        "delay_correction": True,
    },
    "review": {"window_s": 2 * 3600, "reward": {"name": "accuracy"}},
}
ROUTES: Final[dict[str, Rules]] = {
    "shop": Rules(
        6 * HOUR_MS,
        lambda _, label: round(min(1.0, label / DEAREST) * NANO),
        default=0,
        default_after_ms=30 * MINUTE_MS,
        combine=sum,
    ),
    "review": Rules(2 * HOUR_MS, lambda prediction, label: NANO * (prediction == label)),
}
"""The same rules for the oracle, with rewards in whole units of 1e-9."""


class Sent(NamedTuple):
    """A record to be sent at its time."""

    at_ms: int
    is_prediction: bool
    key: bytes
    value: bytes


class Day(NamedTuple):
    """Everything that is sent, in order; by request what the oracle must know; how many of what."""

    sent: list[Sent]
    told: dict[str, tuple[str, list[Predicted], list[Labelled]]]
    kinds: Counter[tuple[str, str]]


class _Writer:
    """Writes one request after another."""

    def __init__(self, seed: int, start_ms: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.start_ms = start_ms
        self.day = Day([], {}, Counter())

    def minutes(self, low: float, high: float) -> int:
        return int(self.rng.uniform(low, high) * MINUTE_MS)

    def request(self, route: str, kind: str, tell: Callable[["_Request"], None]) -> None:
        number = len(self.day.told)
        at_ms = self.start_ms + int(self.rng.uniform(0, 24 * HOUR_MS))
        arm = ARMS[int(self.rng.integers(len(ARMS)))]
        request = _Request(self, f"{route}-{number:06d}", route, arm, at_ms)
        self.day.told[request.name] = (route, [], [])
        self.day.kinds[route, kind] += 1
        tell(request)


class _Request:
    """One request under way."""

    def __init__(self, writer: _Writer, name: str, route: str, arm: str, at_ms: int) -> None:
        self.writer, self.name, self.route, self.arm, self.at_ms = writer, name, route, arm, at_ms
        self.truth = int(writer.rng.random() < 0.5)
        right = {"current": 0.8, "smaller": 0.7, "next": 0.9}[arm]
        self.answer = self.truth if writer.rng.random() < right else 1 - self.truth

    def predict(self, after_ms: int = 0, *, shown: bool = True, answer: int | None = None) -> None:
        answer = self.answer if answer is None else answer
        prediction = Prediction(
            request_id=self.name,
            route=self.route,
            arm=self.arm,
            prediction=answer,
            propensity=1 / 3,
            shown=shown,
        )
        at_ms = self.at_ms + after_ms
        self.writer.day.told[self.name][1].append(Predicted(at_ms, self.arm, answer, shown))
        self.send(at_ms, encode(prediction), is_prediction=True)

    def label(self, after_ms: int, label: Any, part: str = "") -> None:
        truth = GroundTruth(request_id=self.name, label=label, part=part)
        at_ms = self.at_ms + after_ms
        self.writer.day.told[self.name][2].append(Labelled(at_ms, label, part))
        self.send(at_ms, encode(truth), is_prediction=False)

    def send(self, at_ms: int, value: bytes, *, is_prediction: bool) -> None:
        self.writer.day.sent.append(Sent(at_ms, is_prediction, self.name.encode(), value))


def _shop(writer: _Writer) -> dict[str, tuple[float, Callable[[_Request], None]]]:
    """What happens on the route "shop": a share of its requests, and what is sent."""
    minutes = writer.minutes

    def click(request: _Request, *minutes_after: tuple[float, float]) -> None:
        request.predict()
        for low, high in minutes_after:
            request.label(minutes(low, high), 1, "click")

    def order(request: _Request, *, returned: bool) -> None:
        click(request, (0.1, 20))
        price = int(writer.rng.integers(5, DEAREST))
        request.label(minutes(21, 60), price, "order")
        if returned:
            request.label(minutes(90, 340), None, "order")

    def early(request: _Request) -> None:
        request.label(-minutes(0.1, 5), 1, "click")
        request.predict()

    return {
        "no click": (0.55, click),
        "click": (0.15, lambda r: click(r, (0.1, 20))),
        "click after the default fell due": (0.08, lambda r: click(r, (35, 300))),
        "click told three times": (0.05, lambda r: click(r, (0.1, 9), (10, 19), (20, 29))),
        "click before its prediction": (0.04, early),
        "click, then order": (0.07, lambda r: order(r, returned=False)),
        "click, order, return": (0.03, lambda r: order(r, returned=True)),
        "click after the window": (0.03, lambda r: click(r, (365, 420))),
    }


def _review(writer: _Writer) -> dict[str, tuple[float, Callable[[_Request], None]]]:
    """What happens on the route "review"."""
    minutes = writer.minutes

    def labels(request: _Request, *told: tuple[float, float, Any]) -> None:
        request.predict()
        for low, high, label in told:
            request.label(minutes(low, high), label)

    def early(request: _Request) -> None:
        request.label(-minutes(1, 60), request.truth)
        request.predict()

    def again(request: _Request, answer: int) -> None:
        request.predict()
        request.predict(minutes(0.1, 1), answer=answer)
        request.label(minutes(2, 60), request.truth)

    def hidden(request: _Request) -> None:
        request.predict(shown=False)
        request.label(minutes(1, 60), request.truth)

    def garbled(request: _Request) -> None:
        labels(request, (1, 60, request.truth))
        request.send(request.at_ms, b'{"request_id": 7', is_prediction=False)

    return {
        "label": (0.5, lambda r: labels(r, (1, 60, r.truth))),
        "label before its prediction": (0.08, early),
        "label told twice": (0.08, lambda r: labels(r, (1, 60, r.truth), (61, 110, r.truth))),
        "label changed": (0.08, lambda r: labels(r, (1, 60, 1 - r.truth), (61, 110, r.truth))),
        "label withdrawn": (0.04, lambda r: labels(r, (1, 60, r.truth), (61, 110, None))),
        "withdrawn and given again": (
            0.02,
            lambda r: labels(r, (1, 40, r.truth), (41, 80, None), (81, 110, r.truth)),
        ),
        "never labelled": (0.05, lambda r: r.predict()),
        "label after the window": (0.03, lambda r: labels(r, (121, 200, r.truth))),
        "changed after the window": (
            0.03,
            lambda r: labels(r, (1, 60, r.truth), (121, 200, 1 - r.truth)),
        ),
        "prediction sent twice": (0.03, lambda r: again(r, r.answer)),
        "prediction sent twice, other answer": (0.02, lambda r: again(r, 1 - r.answer)),
        "answer not shown": (0.02, hidden),
        "label of nobody's request": (0.01, lambda r: r.label(0, r.truth)),
        "garbled record beside it": (0.01, garbled),
    }


def write_day(seed: int, requests: int, start_ms: int) -> Day:
    """Return a day of requests on both routes."""
    writer = _Writer(seed, start_ms)
    for route, happenings in (("shop", _shop(writer)), ("review", _review(writer))):
        kinds = list(happenings)
        shares = np.array([share for share, _ in happenings.values()])
        for drawn in writer.rng.choice(len(kinds), requests // 2, p=shares / shares.sum()):
            kind = kinds[int(drawn)]
            writer.request(route, kind, happenings[kind][1])
    writer.day.sent.sort(key=lambda record: record.at_ms)
    for _, predicted, labelled in writer.day.told.values():
        predicted.sort(key=lambda one: one.at_ms)
        labelled.sort(key=lambda one: one.at_ms)
    return writer.day
