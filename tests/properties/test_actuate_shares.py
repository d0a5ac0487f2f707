"""Whole shares and warm-ups of actuators, for any weights."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leverframe.agents.actuate.shares import apportion
from leverframe.agents.actuate.warm_up import Able, Rises, next_shares

ARMS = ("a", "b", "c", "d")
TOTALS = st.sampled_from([1, 3, 100, 10_000])
WEIGHTS = st.dictionaries(
    st.sampled_from(ARMS),
    st.one_of(st.just(0.0), st.floats(1e-9, 1.0)),
    min_size=1,
)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(WEIGHTS, TOTALS)
def test_shares_sum_right_and_are_near(weights: dict[str, float], total: int) -> None:
    """The sum is exact, each is less than 1 away, nothing gets nothing, more never gets less."""
    shares = apportion(weights, total)
    whole = sum(weights.values())
    if whole == 0:
        assert shares == {}
        return
    assert sum(shares.values()) == total
    for arm, weight in weights.items():
        assert abs(shares[arm] - weight / whole * total) < 1 + 1e-6
        assert weight or not shares[arm]
        assert all(shares[arm] >= shares[o] for o, less in weights.items() if less < weight)


Moment = tuple[dict[str, int], dict[str, int], set[str], Able]


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    """Draw shares that hold and that are wanted, who is broken, who can take what."""
    total = draw(TOTALS)
    now = apportion(draw(WEIGHTS), total)
    broken = draw(st.sets(st.sampled_from(ARMS)))
    wanted = {arm: w for arm, w in draw(WEIGHTS).items() if arm not in broken}
    target = apportion(wanted, total)
    assume(now and target)
    warm = draw(st.sets(st.sampled_from([arm for arm in now if now[arm]])))
    more = draw(st.dictionaries(st.sampled_from(ARMS), st.integers(0, total)))
    most = {arm: now.get(arm, 0) + step for arm, step in more.items()}
    return now, target, broken, Able(most, warm)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(moments())
def test_a_step_keeps_its_promises(moment: Moment) -> None:
    """All traffic goes somewhere; nothing cold grows by more than a step; broken arms only lose."""
    now, target, broken, able = moment
    shares = next_shares(now, target, broken, able)
    assert sum(shares.values()) == sum(target.values())
    assert min(shares.values()) >= 0
    is_freed = any(now.get(arm, 0) for arm in broken)
    heirs = set(able.warm) - broken if is_freed else set()
    for arm, share in shares.items():
        held = now.get(arm, 0)
        if arm not in heirs:
            assert share <= able.most.get(arm, held)
        assert arm not in broken or share <= held
    if heirs:
        assert not any(shares.get(arm, 0) for arm in broken)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(moments())
def test_a_cold_heir_alone_is_what_a_broken_arm_waits_for(moment: Moment) -> None:
    """Whatever a broken arm keeps nobody in order could have taken: all that could be was."""
    now, target, broken, able = moment
    shares = next_shares(now, target, broken, able)
    if any(shares.get(arm, 0) for arm in broken):
        for arm, wanted in target.items():
            assert shares[arm] >= min(wanted, able.most.get(arm, now.get(arm, 0)))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(moments(), st.integers(1, 8))
def test_the_target_is_reached_in_the_steps_it_needs(moment: Moment, steps: int) -> None:
    """Where every arm can take a step more each time, the target is reached, and then kept."""
    shares, target, broken, _ = moment
    step = -(-sum(target.values()) // steps)
    for _ in range(steps):
        most = {arm: shares.get(arm, 0) + step for arm in ARMS}
        shares = next_shares(shares, target, broken, Able(most))
    for found in (shares, next_shares(shares, target, broken, Able())):
        assert all(share == target.get(arm, 0) for arm, share in found.items())
        assert sum(found.values()) == sum(target.values())


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 100)), min_size=1, max_size=20),
    st.integers(1, 50),
)
def test_an_arm_gains_a_step_in_its_time(moves: list[tuple[float, int]], step: int) -> None:
    """Its most is a step above the least it had within the time; the wait leads to more."""
    every_s, now_s = 4.0, 100.0
    rises = Rises(step, every_s, 30)
    # What it had until when; before it was seen at all, a step less, for ever.
    told: list[tuple[float, int]] = []
    for after_s, share in moves:
        now_s += after_s
        rises.note({"a": share}, now_s)
        before = told[-1][1] if told else max(0, share - step)
        told = [*told[:-1], (now_s, before), (float("inf"), share)]
        able, left_s = rises.able(now_s), rises.wait_s(now_s)
        least = min(had for until_s, had in told if until_s + every_s > now_s)
        assert able.most["a"] == least + step
        if least < share:
            assert left_s is not None
        if left_s is not None:
            later = rises_of(moves[: told_count(told)], step, every_s).able(now_s + left_s)
            assert later.most["a"] > able.most["a"] or set(later.warm) > set(able.warm)


def told_count(told: list[tuple[float, int]]) -> int:
    return len(told) - 1


def rises_of(moves: list[tuple[float, int]], step: int, every_s: float) -> Rises:
    """The same again, to look ahead."""
    made, now_s = Rises(step, every_s, 30), 100.0
    for after_s, share in moves:
        now_s += after_s
        made.note({"a": share}, now_s)
    return made


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 100)), max_size=20))
def test_an_arm_is_warm_once_it_has_had_enough_for_long(moves: list[tuple[float, int]]) -> None:
    """Below the limit it is cold at once; at first sight it is believed."""
    rises, now_s, since_s = Rises(10, 4.0, 30), 100.0, float("inf")
    for number, (after_s, share) in enumerate(moves):
        now_s += after_s
        rises.note({"a": share}, now_s)
        if share < 30:
            since_s = float("inf")
        elif since_s == float("inf"):
            since_s = now_s if number else now_s - 4.0
        assert ("a" in rises.able(now_s).warm) == (since_s + 4.0 <= now_s)
