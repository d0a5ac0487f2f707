"""The comparison with peers: what counts as equal output, as a rate and as a ratio."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.compare.regression import store_ratios, stored_ratios, warnings_of, watched
from bench.compare.rounds import Comparison, prepared
from bench.compare.tables import summary, table
from bench.peers.contender import Contender, LeftOutError, read_json_totals
from bench.peers.drain import Drained
from bench.peers.output import Aggregates, faults, totals_of_rewards
from bench.peers.registry import CONTENDERS
from bench.peers.timeline import Moment, Timing, timing
from bench.rig.load import expected_totals, pairs
from leverframe.schemas.codec import decode
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction

REWARDS, TOTALS = ("rewards", 0), ("totals", 0)


def moment(at_s: float, rewards: int, totals: int, cpu_s: float = 0.0) -> Moment:
    return Moment(at_s=at_s, ends={REWARDS: rewards, TOTALS: totals}, cpu_s=cpu_s)


def timed(rate: float) -> Drained:
    return Drained(
        timing=Timing(
            events_per_s=rate,
            late_events_per_s=rate,
            first_s=1.0,
            last_reward_s=2.0,
            last_s=3.0,
            cpu_us_per_event=4.0,
        ),
        peak_mb=5.0,
    )


def test_expected_totals_are_those_of_a_plain_recount() -> None:
    """The oracle of all contenders agrees with a count over the records themselves."""
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for _, (_, prediction), (_, label) in pairs(997, seed=4):
        record = decode(Prediction, prediction)
        arm = f"{record.route}/{record.arm}"
        counts[arm] += 1
        sums[arm] += int(record.prediction == decode(GroundTruth, label).label)
    assert expected_totals(997, seed=4) == {arm: (counts[arm], sums[arm]) for arm in counts}


def test_rate_counts_from_first_output_to_last_of_all_outputs() -> None:
    """Starting does not count, the totals do, and what the first look found does not."""
    looks = [
        moment(1.0, 0, 0),
        moment(5.0, 20, 0, cpu_s=1.0),
        moment(6.0, 60, 1),
        moment(7.0, 101, 1),  # a transaction's marker is an offset, not a reward
        moment(9.0, 101, 3, cpu_s=1.00016),
    ]
    found = timing(looks, began_s=0.0, pairs=100, rewards={REWARDS: 99}, aggregates={TOTALS: 2})
    assert found.events_per_s == pytest.approx(2 * 80 / 4)
    assert found.late_events_per_s == pytest.approx(2 * 40 / 3)
    assert (found.first_s, found.last_reward_s, found.last_s) == (5.0, 7.0, 9.0)
    assert found.cpu_us_per_event == pytest.approx(1.0)


def test_rate_of_output_that_came_at_once_is_none() -> None:
    """One transaction for everything has no duration from the outside."""
    looks = [moment(1.0, 0, 0), moment(2.0, 10, 1)]
    found = timing(looks, began_s=0.0, pairs=10, rewards={REWARDS: 9}, aggregates={TOTALS: 0})
    assert found.events_per_s == 0.0


def test_output_lost_doubled_or_miscounted_is_a_fault() -> None:
    """A contender's time counts only when rewards and totals are what they must be."""
    expected = {"r/a": (2, 1.0)}
    first = b'{"request_id": "1", "route": "r", "arm": "a", "reward": 1.0, "more": 1}'
    second = b'{"request_id": "2", "route": "r", "arm": "a", "reward": 0.0}'
    right = totals_of_rewards([first, second])
    assert right == (2, expected)
    assert faults(expected, *right, expected) == []
    assert faults(expected, *totals_of_rewards([first, first]), expected)
    assert faults(expected, *totals_of_rewards([first]), expected)
    assert faults(expected, *totals_of_rewards([first, second, second]), expected)
    assert faults(expected, *right, {"r/a": (2, 0.0)})
    assert faults(expected, *right, expected | {"r/b": (1, 0.0)})


def test_aggregates_end_with_the_last_record_that_changed_a_total() -> None:
    """Heartbeats that say the same again do not prolong a run."""
    aggregates = Aggregates(read_json_totals)
    for offset, value in enumerate([b'{"count":1,"sum":1.0}', b'{"count":2,"sum":1.0}']):
        aggregates.take(
            SimpleNamespace(key=b"r/a", value=value, topic="t", partition=0, offset=offset)
        )
    aggregates.take(
        SimpleNamespace(
            key=b"r/a", value=b'{"count":2,"sum":1.0}', topic="t", partition=0, offset=7
        )
    )
    assert aggregates.count == 2
    assert aggregates.last_changes == {("t", 0): 1}


def test_table_shows_medians_and_the_spread_of_ratios_by_round() -> None:
    """Ratios are taken within a round, so that a slow moment of the machine falls on both."""
    comparison = Comparison(pairs=10_000, rounds=3, shares={"ours": 1.0, "peer": 0.5})
    comparison.runs = {
        "ours": {0: timed(30.0), 1: timed(60.0), 2: timed(80.0)},
        "peer": {0: timed(10.0), 1: timed(20.0), 2: timed(20.0)},
    }
    comparison.ceilings = {
        name: {0: 100.0, 1: 100.0, 2: 200.0} for name in ("getmany", "decode", "produce", "rocksdb")
    }
    comparison.what = {"ours": "this one", "peer": "that one"}
    comparison.left_out = {"other": "no compiler"}
    known = summary(comparison)
    assert known["ours_to"]["peer"] == {"median": 3.0, "least": 3.0, "most": 4.0}
    assert known["share_of_limit"] == pytest.approx(60 / (100 / 3))
    lines = "\n".join(table(comparison))
    assert "3.00x (3.00..4.00)" in lines
    assert "| 5,000 | 3 |" in lines
    assert known["ours_to_warm"]["peer"]["median"] == known["ours_to"]["peer"]["median"]
    assert lines.index("| warm: the second half |") < lines.index("| from the first output on |")
    assert "other is left out: no compiler" in lines


def test_a_contender_that_cannot_take_part_is_named_with_the_reason() -> None:
    """The others run all the same."""

    def cannot(_: Callable[[str], None]) -> None:
        raise LeftOutError("no javac on the PATH")

    comparison = Comparison(pairs=1, rounds=1)
    contender = Contender(name="peer", what="", prepare=cannot)  # type: ignore[arg-type]
    assert prepared([contender], comparison) == []
    assert comparison.left_out == {"peer": "no javac on the PATH"}


def test_ratios_that_moved_are_warned_of_and_absolute_rates_never(tmp_path: Path) -> None:
    """A machine half as fast keeps its ratios."""
    path = tmp_path / "ratios.json"
    assert stored_ratios(path) == {}
    known = {"ours_to": {"getmany": {"median": 0.2}, "faust": {"median": 50.0}}}
    store_ratios(watched(known), path)
    assert stored_ratios(path) == {"getmany": 0.2}
    assert list(warnings_of({"getmany": 0.17}, stored_ratios(path))) == []
    assert "slower" in next(warnings_of({"getmany": 0.1}, stored_ratios(path)))
    assert "faster" in next(warnings_of({"getmany": 0.3}, stored_ratios(path)))
    assert list(warnings_of({}, stored_ratios(path))) == []


def test_contenders_have_names_of_their_own() -> None:
    """Names choose contenders and name their topics."""
    names = [contender.name for contender in CONTENDERS]
    assert len(set(names)) == len(names)
    assert names[0] == "ours"
