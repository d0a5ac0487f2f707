"""A closed loop without a broker: each request goes to an arm by the weights in force."""

import random
from collections.abc import Callable, Iterator, Sequence

from records import MAX_VALUE_BYTES, Record, learning_runs, reward_record

from leverframe.schemas.audit import AuditEvent
from leverframe.schemas.control import ControlMessage
from leverframe.streams.learning.state import RouteState, decode_route, encode_route
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Routes


class Loop:
    """A route ``r`` whose arms answer by their weights and are labelled at once."""

    def __init__(self, seed: int, route: Routes, every_ms: int = 20) -> None:
        self.rng = random.Random(seed)
        self.route = route
        self.every_ms = every_ms
        self.states: dict[str, RouteState] = {}
        self.messages: list[ControlMessage] = []
        self.audit: list[AuditEvent] = []
        self.records: list[Record] = []
        self.at = 0

    @property
    def state(self) -> RouteState:
        return self.states["r"]

    def take(self, records: Sequence[Record]) -> None:
        self.refused(records)

    def refused(self, records: Sequence[Record]) -> list[str]:
        """Take records; return why some of them are dead letters."""
        self.records += records
        outcome = learn(
            learning_runs(records), self.states, self.route, max_value_bytes=MAX_VALUE_BYTES
        )
        # As a ledger keeps them.
        self.states |= {name: decode_route(encode_route(s)) for name, s in outcome.states.items()}
        self.messages += outcome.control
        self.audit += outcome.audit
        return [letter.reason for letter in outcome.dead_letters]

    def begin(self, *arms: str) -> None:
        for arm in arms:
            self.label(arm, 1.0)

    def label(self, arm: str, reward: float) -> None:
        self.at += self.every_ms
        self.take([reward_record(arm, reward, self.at)])

    def serve(self, count: int, means: Callable[[str], float]) -> Iterator[str]:
        """Serve requests, one label each; yields the arm that answered."""
        for _ in range(count):
            weights = self.state.weights
            (arm,) = self.rng.choices(list(weights), list(weights.values()))
            self.label(arm, float(self.rng.random() < means(arm)))
            yield arm

    def run(self, count: int, **means: float) -> None:
        for _ in self.serve(count, means.__getitem__):
            pass

    def why(self, reason: str) -> list[ControlMessage]:
        return [message for message in self.messages if message.cause["why"] == reason]
