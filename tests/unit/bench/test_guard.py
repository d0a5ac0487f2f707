"""The simulation of the guard: it is the product's guard, and its figures can be made again."""

import json
import math
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from bench.guard import __main__ as guard
from bench.guard.simulation import (
    NEVER,
    Labels,
    against_champion,
    against_level,
    bound,
    draw,
    first_alarm,
    half_asleep,
    kl,
    log_evidence,
    simple_rules,
)
from leverframe.policies.guard.capital import wealth_of
from leverframe.policies.guard.evidence import Evidence, observe, settle
from leverframe.policies.guard.verdict import judge

NANO = 10**9
ALPHA = 0.01


def product(
    is_arm: list[bool], reward: list[bool], every: int, margin: float, level: float | None
) -> tuple[float, float]:
    """The label at which the product's guard calls the arm harmful, and its evidence at the end."""
    evidence, sides, found = Evidence(reference="champion"), {True: [0, 0], False: [0, 0]}, NEVER
    for i, (side, won) in enumerate(zip(is_arm, reward, strict=True), start=1):
        sides[side][0] += 1
        sides[side][1] += won * NANO
        own, other = (sides[True][0], sides[True][1]), (sides[False][0], sides[False][1])
        if side and level is None:
            observe(evidence, own, other)
        if i % every == 0:
            settle(evidence, own, margin=margin, level=level, alpha=ALPHA)
            verdict = judge(evidence, alpha=ALPHA, has_floor=level is not None)[0]
            found = min(found, i if verdict == "harmful" else NEVER)
    return found, wealth_of(evidence.versus if level is None else evidence.level)[0]


def routes(rate: float, share: float, labels: int = 1200) -> Labels:
    """Eight routes whose arm breaks after 200 labels."""
    steady = np.full(labels, share), np.full(labels, rate), np.full(labels, 0.9)
    return draw(np.random.default_rng(7), 8, *steady, good=200)


@pytest.mark.parametrize("every", [1, 7, 100])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(("rate", "margin"), [(0.7, 0.0), (0.6, 0.02), (0.9, 0.0)])
def test_simulation_of_the_champion_test_is_the_product(
    every: int, share: float, rate: float, margin: float
) -> None:
    """Route by route the same label of the alarm; while there is none, the same evidence."""
    labels = routes(rate, share)
    looks = against_champion(labels, margin, every)
    evidence = log_evidence(looks)
    alarms = first_alarm(looks, half_asleep(evidence), math.log(1 / ALPHA))
    for row in range(8):
        at, last = product(
            labels.is_arm[row].tolist(), labels.reward[row].tolist(), every, margin, None
        )
        assert alarms[row] == at
        if at == NEVER:
            assert evidence[-1, row] == pytest.approx(last, abs=1e-4)


@pytest.mark.parametrize("every", [1, 7, 100])
@pytest.mark.parametrize("rate", [0.7, 0.9])
def test_simulation_of_the_floor_test_is_the_product(every: int, rate: float) -> None:
    """Route by route the same label of the alarm; while there is none, the same evidence."""
    labels = routes(rate, 0.5)
    looks = against_level(labels, 0.9, every)
    evidence = log_evidence(looks)
    alarms = first_alarm(looks, evidence, math.log(2 / ALPHA))
    for row in range(8):
        at, last = product(
            labels.is_arm[row].tolist(), labels.reward[row].tolist(), every, 0.0, 0.9
        )
        assert alarms[row] == at
        if at == NEVER:
            assert evidence[-1, row] == pytest.approx(last, abs=1e-4)


def test_simple_rules_do_what_their_names_say() -> None:
    """On a plain example: an arm always wrong beside a champion that is always right."""
    is_arm = np.tile([True, False], 1500)[None, :]
    alarms = simple_rules(Labels.of(is_arm, ~is_arm), 100)
    assert {rule: at.tolist() for rule, at in alarms.items()} == {
        "threshold": [200.0],
        "once": [2000.0],
        "peeked": [100.0],
    }
    equal = simple_rules(Labels.of(is_arm, np.ones_like(is_arm)), 100)
    assert all(at == [NEVER] for at in equal.values())


@pytest.mark.parametrize(
    ("share", "margin", "labels"), [(None, 0.0, 104), (0.5, 0.0, 231), (0.5, 0.02, 359)]
)
def test_bound_is_what_a_hand_finds(share: float | None, margin: float, labels: int) -> None:
    """At alpha 0.01 and 0.90 to 0.80; without a margin and with half the traffic m is 0.85."""
    found = bound(0.9, 0.8, share, margin, ALPHA)
    assert round(found) == labels
    if share and not margin:
        nats = float(kl(0.8, 0.85) + kl(0.9, 0.85))
        assert found == pytest.approx(math.log(100) / nats, rel=1e-3)


def test_small_run_fills_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeded runs print the same tables, which stand between the markers of the page."""
    monkeypatch.setattr(guard, "CHANGES", ((0.9, 0.6),))
    monkeypatch.setattr(guard, "GOOD", (0, 300))
    monkeypatch.setattr(guard, "SIDES", ((None, 0.0), (0.5, 0.02)))
    page = tmp_path / "guard.md"
    monkeypatch.setattr(guard, "PAGE", page)
    page.write_text("before\n<!-- figures:begin -->\nold\n<!-- figures:end -->\nafter\n")
    options = Namespace(routes=20, labels=1000, detections=10, processes=2, seed=1)
    results = guard.simulate(options)
    text = guard.report(results, options)
    assert text == guard.report(guard.simulate(options), options)
    assert "| 0.90 to 0.60 | champion | 50% | 0.02 |" in text
    assert "never" not in text.split("Simpler rules")[0]
    json.dumps(guard.summary(results), allow_nan=False)
    guard.write(text)
    assert page.read_text() == (
        f"before\n<!-- figures:begin -->\n{text}\n<!-- figures:end -->\nafter\n"
    )
