"""``python -m bench.units.whole_route``: whole routes of users through the product's own step.

Three equal arms, Thompson sampling, promotions on. Users come with Zipf activity 1.1, their means
are drawn from a Beta distribution, and the product's assigner draws their arms by the weights and
the salt of the newest control message. How often does the guard roll an arm back, with and without
``unit_id``?
"""

import argparse
from dataclasses import dataclass
from typing import Final

import numpy as np

from leverframe.schemas.codec import encode_reward
from leverframe.schemas.reward import Reward
from leverframe.serving.assigner import Assigner
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import GuardSettings, NamedParams, RouteSettings

ARMS: Final = ("a", "b", "c")
BEGIN_MS: Final = 1_700_000_000_000
BATCH: Final = 20
"""Requests, one a millisecond, whose labels come together when the last of them was served."""
MEAN: Final = 0.9
DEVIATION: Final = 0.1
USERS: Final = 3000


@dataclass(frozen=True)
class Record:
    """A reward as the transport hands it over."""

    key: bytes
    value: bytes
    timestamp: int
    offset: int
    topic: str = "rewards"
    partition: int = 0


def rolled_back(seed: int, labels: int, margin: float, *, is_named: bool, is_redrawn: bool) -> bool:
    """Return whether the guard took any arm of one route off the line."""
    rng = np.random.default_rng(seed)
    settings = RouteSettings(
        reward=NamedParams(name="label"),
        guard=GuardSettings(margin=margin),
        reassign_units="1s" if is_redrawn else None,
    )
    routes = Routes({"r": settings}, None)
    compiled = next(filter(None, [routes.get("r")]))
    strength = MEAN * (1 - MEAN) / DEVIATION**2 - 1
    own = rng.beta(MEAN * strength, (1 - MEAN) * strength, USERS)
    weights = np.arange(1, USERS + 1) ** -1.1
    who = rng.choice(USERS, labels, p=weights / weights.sum()).tolist()
    luck = rng.random(labels)
    states: dict[str, RouteState] = {}
    assigner: Assigner | None = None
    for begin in range(0, labels, BATCH):
        end = min(begin + BATCH, labels)
        now_ms = BEGIN_MS + end
        records = []
        for i in range(begin, end):
            unit_id = f"user-{who[i]}"
            # All arms are there from the beginning: the first requests register them.
            arm = ARMS[i % 3] if assigner is None else assigner.assign(unit_id)[0]
            reward = Reward(
                request_id=f"q{i}",
                route="r",
                arm=arm,
                reward=float(luck[i] < own[who[i]]),
                predicted_at_ms=BEGIN_MS + i,
                labelled_at_ms=now_ms,
                attributed_at_ms=now_ms,
                unit_id=unit_id if is_named else None,
            )
            records.append(Record(b"r", encode_reward(reward), now_ms, i))
        outcome = learn([("rewards", records)], states, routes, max_value_bytes=10_000)
        states |= outcome.states
        if any(message.cause["why"] == "guard" for message in outcome.control):
            return True
        # What comes next is served in the period that begins with it.
        message = heartbeat(states["r"], compiled, now_ms)
        assigner = Assigner(message.weights, message.salt)
    return False


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=1000)
    parser.add_argument("--labels", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args()
    print("| margin | predictions name users | arms are drawn anew | routes with a rollback |")
    print("|---:|---|---|---:|")
    for margin in (0.0, 0.02):
        for is_named, is_redrawn in ((True, True), (True, False), (False, True), (False, False)):
            found = sum(
                rolled_back(
                    options.seed * 100_000 + route, options.labels, margin,
                    is_named=is_named, is_redrawn=is_redrawn,
                )
                for route in range(options.routes)
            )  # fmt: skip
            words = ["yes" if flag else "no" for flag in (is_named, is_redrawn)]
            share = f"{found / options.routes:.1%} ({found} of {options.routes:,})"
            print(f"| {margin} | {' | '.join(words)} | {share} |", flush=True)


if __name__ == "__main__":
    main()
