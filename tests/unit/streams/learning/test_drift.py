"""Drift detectors on one arm against its own past, and what a drift does."""

import functools
import random

import pytest
from records import MAX_VALUE_BYTES, Record, learning_runs, reward_record, routes

from leverframe.policies.detectors import DETECTORS, make_detector
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import PolicyError
from leverframe.streams.learning.drift import EVERY
from leverframe.streams.learning.state import RouteState, decode_route, encode_route, state_digest
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import DetectorSettings, GuardSettings


def coin(rng: random.Random, rate: float, count: int) -> list[float]:
    return [float(rng.random() < rate) for _ in range(count)]


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_find_a_break_and_stay_calm_before(name: str) -> None:
    """Over 20 seeds: no more than 3 alarms in 20 x 1,500 steady labels, the break found in each.

    The labels fall from 95 to 20 % right; the detector is asked after every 32, as in the job.
    """
    detector = make_detector(name, {})
    calm, found = 0, 0
    for seed in range(20):
        rng = random.Random(seed)
        window: list[float] = []
        for at, reward in enumerate([*coin(rng, 0.95, 1500), *coin(rng, 0.2, 200)]):
            window = [*window, reward][-detector.memory :]
            if at % EVERY == EVERY - 1 and detector.detects(window, EVERY):
                calm += at < 1500
                found += at >= 1500
                window = []
                if at >= 1500:
                    break
    assert calm <= 3
    assert found == 20


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("adwim", {}),
        ("adwin", {"delta": 2}),
        ("adwin", {"clock": 1}),
        ("page_hinkley", {"threshold": 0}),
        ("page_hinkley", {"delta": -1}),
        ("kswin", {"alpha": "x"}),
        ("kswin", {"memory": 3}),
    ],
)
def test_detectors_refuse_wrong_parameters(name: str, params: dict[str, object]) -> None:
    """Unknown names and parameters out of range are refused."""
    with pytest.raises(PolicyError):
        make_detector(name, params)


@functools.cache
def breaking() -> list[Record]:
    """``a`` is steady, ``b`` breaks."""
    rng = random.Random(3)
    arms = [rng.choice("ab") for _ in range(2400)]
    return [
        reward_record(
            arm,
            float(rng.random() < (0.95 if arm == "a" or at < 1600 else 0.2)),
            at,
            request_id=f"q{at}",
        )
        for at, arm in enumerate(["a", *arms])
    ]


def drifting(on_drift: str, cuts: int = 1) -> tuple[RouteState, list[ControlMessage]]:
    """The guard is off, so only detectors act."""
    records = breaking()
    route: Routes = routes(
        guard=GuardSettings(enabled=False),
        promote=False,
        policy="epsilon_greedy",
        detectors=[DetectorSettings(name="adwin", on_drift=on_drift)],  # type: ignore[arg-type]
    )
    stored: dict[str, bytes] = {}
    messages: list[ControlMessage] = []
    size = len(records) // cuts + 1
    for begin in range(0, len(records), size):
        states = {name: decode_route(raw) for name, raw in stored.items()}
        batch = learning_runs(records[begin : begin + size])
        outcome = learn(batch, states, route, max_value_bytes=MAX_VALUE_BYTES)
        stored |= {name: encode_route(state) for name, state in outcome.states.items()}
        messages += outcome.control
    return decode_route(stored["r"]), messages


def test_drift_is_noted() -> None:
    """``note``: one control message says which arm drifted, by how much; nothing else changes."""
    state, messages = drifting("note")
    (note,) = [message for message in messages if message.cause["why"] == "drift"]
    assert (note.kind, note.cause["arm"], note.cause["action"]) == ("routing", "b", "note")
    assert note.cause["mean_before"] > note.cause["mean_after"]
    assert (state.arms["a"].drifts, state.arms["b"].drifts) == (0, 1)
    assert not note.quarantined


def test_drift_holds_the_share() -> None:
    """``hold``: the drifted arm's share never grows until the time is over."""
    state, messages = drifting("hold")
    at = next(i for i, message in enumerate(messages) if message.cause["why"] == "drift")
    shares = [message.weights["b"] for message in messages[at:]]
    assert all(later <= earlier + 1e-9 for earlier, later in zip(shares, shares[1:], strict=False))
    assert state.arms["b"].held_until_ms > 0


def test_drift_rolls_back() -> None:
    """``rollback``: the drifted arm is off the line, with the evidence."""
    state, messages = drifting("rollback")
    (rollback,) = [message for message in messages if message.kind == "rollback"]
    assert rollback.cause["why"] == "drift"
    assert rollback.quarantined == ["b"]
    assert state.arms["b"].phase == "quarantined"


def test_drift_does_not_depend_on_micro_batches() -> None:
    """The same labels drift at the same moment, cut anyhow."""
    whole, messages = drifting("rollback")
    cut, same = drifting("rollback", cuts=37)
    assert state_digest(whole) == state_digest(cut)
    assert messages == same
