"""The simulation of whole routes: arm by arm it is the product's guard."""

from typing import Any

import numpy as np
import pytest
from records import routes
from traffic_loop import Loop

from bench.guard.arrays import Guarded
from leverframe.streams.routes.settings import NamedParams

ROUTE: dict[str, Any] = {
    "policy": NamedParams(name="ab_test", params={"labels_per_arm": 1_000_000}),
    "promote": False,
    "nursery_labels": 0,
    "decision_labels": 1,
}


@pytest.mark.drill
@pytest.mark.parametrize(
    ("means", "later"),
    [((0.9, 0.9), (0.9, 0.6)), ((0.9, 0.9), (0.5, 0.5)), ((0.9, 0.9), (0.9, 0.9))],
    ids=["one falls", "all fall", "nothing happens"],
)
def test_arrays_are_the_product(means: tuple[float, float], later: tuple[float, float]) -> None:
    """Evidence, fall, suspicion and past of both arms are the same after every label."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        loop = Loop(seed, routes(**ROUTE))
        guarded = Guarded(1, 2)
        loop.begin("a", "b")
        on = np.ones(1, np.bool_)
        for arm in (0, 1):
            guarded.take(np.array([arm]), np.ones(1), on)
        # References are looked up at the first decision, after its label.
        loop.label("b", 1.0)
        guarded.take(np.array([1]), np.ones(1), on)
        for arm in (0, 1):
            guarded.hold_against(np.array([0]), np.array([arm]), np.array([1 - arm]))
        started = False
        for i in range(1200):
            arm = int(rng.random() < 0.8)
            reward = float(rng.random() < (means, later)[i >= 800][arm])
            loop.label("ab"[arm], reward)
            guarded.take(np.array([arm]), np.array([reward]), on)
            arms = loop.state.arms
            if not all(one.is_eligible for one in arms.values()):
                assert guarded.against[0].max() >= guarded.threshold.min() - 1e-3
                break
            for k, one in enumerate(arms.values()):
                assert one.against_micro * 1e-6 == pytest.approx(guarded.against[0, k], abs=2e-3)
                assert one.suspicion.nats == pytest.approx(guarded.fall[0, k].max(), abs=1e-3)
                assert one.suspicion.is_on == guarded.suspected[0, k]
                started |= one.suspicion.is_on
        if later != means:
            assert started
