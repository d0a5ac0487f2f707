"""The recorded script of arrivals: what is sent for request ``i`` follows from seed and ``i``.

Nothing here is the product's: bytes are written by hand, so that a mistake of its encoders shows.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = [
    "ARMS",
    "LABEL",
    "PREDICTION",
    "ROUTES",
    "WINDOW_MS",
    "Arrivals",
    "Event",
    "Plan",
    "Shadow",
]

PREDICTION: Final = 0
LABEL: Final = 1
ROUTES: Final = 5
ARMS: Final = 3
WINDOW_MS: Final = 3_600_000
_LONG_AGO_MS: Final = 2 * WINDOW_MS
_MASK: Final = (1 << 64) - 1


class Event(NamedTuple):
    """A record to send: to ``predictions`` or ``ground-truth``, as old as said."""

    topic: int
    key: bytes | None
    value: bytes | None
    age_ms: int = 0


class Shadow(NamedTuple):
    """An answer beside the one that is given: so many requests after it, and how often."""

    arm: int
    prediction: int
    delay: int
    times: int


class Plan(NamedTuple):
    """All that happens to one request; labels are (age in ms, label) in their order."""

    kind: str
    arm: int
    prediction: int
    prediction_age_ms: int
    labels: tuple[tuple[int, int | None], ...]
    shadows: tuple[Shadow, ...] = ()


# Per thousand. Early: the label is sent before the prediction. Late, ancient: outside the window.
_KINDS: Final = (
    (600, "plain"),
    (160, "early"),
    (60, "revised"),
    (40, "withdrawn"),
    (20, "returned"),
    (30, "late"),
    (20, "ancient"),
    (20, "unlabelled"),
    (40, "repeated"),
    (10, "conflict"),
)
# A second arm is a conflict there; a request that is over takes no other answer's label.
_UNSHADOWED: Final = ("conflict", "late")
_BY_MILLE: Final = tuple(kind for share, kind in _KINDS for _ in range(share))


def mixed(seed: int, number: int) -> int:
    """Return 64 bits that depend on seed and number alone (splitmix64)."""
    z = (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def plan_of(seed: int, number: int) -> Plan:
    """Return what happens to one request."""
    bits = mixed(seed, number)
    kind = _BY_MILLE[(bits >> 16) % 1000]
    first = (bits >> 9) & 1
    now: dict[str, tuple[tuple[int, int | None], ...]] = {
        "revised": ((0, first), (0, 1 - first)),
        "withdrawn": ((0, first), (0, None)),
        "returned": ((0, first), (0, None), (0, 1 - first)),
        "ancient": ((_LONG_AGO_MS, first),),
        "unlabelled": (),
        "repeated": ((0, first), (0, first)),
    }
    return Plan(
        kind,
        bits % ARMS,
        (bits >> 8) & 1,
        _LONG_AGO_MS if kind == "late" else 0,
        now.get(kind, ((0, first),)),
    )


@dataclass(frozen=True)
class Arrivals:
    """One drill's script.

    Attributes
    ----------
    seed : int
        Everything follows from it.
    poison_every : int
        One record that cannot be used for so many requests; 0 for none.
    shadow_mille : int
        Of a thousand requests so many are answered in shadow too, by one or both of the other arms:
        before the label, with it, or after it.
    """

    seed: int
    poison_every: int = 200
    shadow_mille: int = 300

    def name(self, number: int) -> str:
        """Return a request's id."""
        return f"d{self.seed}-{number}"

    def plan(self, number: int) -> Plan:
        """Return what happens to one request, answers in shadow included."""
        plan = plan_of(self.seed, number)
        bits = mixed(self.seed + 2, number)
        if (bits >> 40) % 1000 >= self.shadow_mille or plan.kind in _UNSHADOWED:
            return plan
        others = [arm for arm in range(ARMS) if arm != plan.arm]
        if bits & 1:
            del others[bits >> 1 & 1]
        return plan._replace(
            shadows=tuple(
                Shadow(
                    arm, (bits >> 3 >> arm) & 1, (bits >> (8 + 8 * at)) & 255, 1 + (bits >> 2 & 1)
                )
                for at, arm in enumerate(others)
            )
        )

    def shadow(self, number: int, shadow: Shadow) -> Event:
        """Return an answer in shadow of a request."""
        name = self.name(number)
        value = (
            f'{{"request_id":"{name}","route":"route-{number % ROUTES}","arm":"arm-{shadow.arm}",'
            f'"prediction":{shadow.prediction},"served":false}}'
        )
        return Event(PREDICTION, name.encode(), value.encode())

    def prediction(self, number: int, plan: Plan, arm: int) -> Event:
        """Return the prediction of a request, by an arm."""
        name = self.name(number)
        value = (
            f'{{"request_id":"{name}","route":"route-{number % ROUTES}","arm":"arm-{arm}",'
            f'"prediction":{plan.prediction},"propensity":0.25}}'
        )
        return Event(PREDICTION, name.encode(), value.encode(), plan.prediction_age_ms)

    def label(self, number: int, age_ms: int, label: int | None) -> Event:
        """Return one label of a request."""
        name = self.name(number)
        text = "null" if label is None else str(label)
        value = f'{{"request_id":"{name}","label":{text}}}'
        return Event(LABEL, name.encode(), value.encode(), age_ms)

    def of_request(self, number: int) -> Iterator[tuple[int, Event]]:
        """Yield (delay in requests, event) of one request; labels are in their order."""
        plan = self.plan(number)
        for shadow in plan.shadows:
            for time in range(shadow.times):
                yield shadow.delay + time, self.shadow(number, shadow)
        bits = mixed(self.seed + 1, number)
        prediction = self.prediction(number, plan, plan.arm)
        labels = [self.label(number, age, label) for age, label in plan.labels]
        delays = [(bits >> (8 * at)) & 127 for at in range(4)]
        if plan.kind in {"early", "ancient"}:
            yield 0, labels[0]
            yield delays[0], prediction
            return
        yield 0, prediction
        after = 0
        for delay, label in zip(delays, labels, strict=False):
            after += delay
            yield after, label
        if plan.kind == "repeated":
            yield after, prediction
        if plan.kind == "conflict":
            yield after, self.prediction(number, plan, (plan.arm + 1) % ARMS)

    def poison(self, number: int) -> tuple[str, Event]:
        """Return the reason and the record of the poison that goes with a request's number."""
        name = f"p{self.seed}-{number}"
        key, kind = name.encode(), (number // max(1, self.poison_every)) % 9
        good = f'{{"request_id":"{name}","label":1}}'.encode()
        nul = b'{"request_id":"\\u0000' + key + b'","label":1}'
        return (
            ("unreadable", Event(LABEL, key, b'{"request_id": "' + key)),
            ("invalid", Event(LABEL, key, b'{"request_id":"' + key + b'","label":[1]}')),
            ("key_mismatch", Event(LABEL, key + b"x", good)),
            ("missing_key", Event(LABEL, None, good)),
            ("tombstone", Event(PREDICTION, key, None)),
            ("oversized", Event(PREDICTION, key, good + b" " * 20_000)),
            ("unreadable", Event(LABEL, key, good.replace(b"1}", b"NaN}"))),
            ("unreadable", Event(PREDICTION, key, b"\xff\xfe" + key)),
            ("invalid", Event(LABEL, b"\x00" + key, nul)),
        )[kind]

    def is_poisoned(self, number: int) -> bool:
        """Whether a poison record goes with a request's number."""
        return bool(self.poison_every) and number % self.poison_every == 0

    def dead_letters(self, count: int) -> Iterator[tuple[str, bytes | None, bytes | None]]:
        """Yield (reason, key, value) of every dead letter that so many requests must leave."""
        for number in range(count):
            if self.is_poisoned(number):
                reason, event = self.poison(number)
                yield reason, event.key, event.value
            plan = plan_of(self.seed, number)
            if plan.kind == "conflict":
                other = self.prediction(number, plan, (plan.arm + 1) % ARMS)
                yield "conflict", other.key, other.value


class Arriving:
    """The script under way; it may be told to end when the injections are over.

    Parameters
    ----------
    arrivals : Arrivals
        The script.
    """

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.requests = 0
        self._waiting: defaultdict[int, list[Event]] = defaultdict(list)

    def next(self) -> list[Event]:
        """Begin one more request; return what is sent before the next one."""
        number = self.requests
        self.requests += 1
        events = self._waiting.pop(number, [])
        if self.arrivals.is_poisoned(number):
            events.append(self.arrivals.poison(number)[1])
        for delay, event in self.arrivals.of_request(number):
            if delay == 0:
                events.append(event)
            else:
                self._waiting[number + delay].append(event)
        return events

    def rest(self) -> list[Event]:
        """Return what still waits when no more requests begin."""
        return [event for due in sorted(self._waiting) for event in self._waiting[due]]
