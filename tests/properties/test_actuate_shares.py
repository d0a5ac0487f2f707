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


Moment = tuple[dict[str, int], dict[str, int], set[str], Able, int]


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    """Draw shares that hold, shares that are wanted, who is broken, who can take what, the step."""
    total = draw(TOTALS)
    now = apportion(draw(WEIGHTS), total)
    broken = draw(st.sets(st.sampled_from(ARMS)))
    wanted = {arm: w for arm, w in draw(WEIGHTS).items() if arm not in broken}
    target = apportion(wanted, total)
    assume(now and target)
    warm = draw(st.sets(st.sampled_from([arm for arm in now if now[arm]])))
    able = Able(draw(st.sets(st.sampled_from(ARMS))), warm)
    return now, target, broken, able, max(1, total // draw(st.integers(1, 8)))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(moments())
def test_a_step_keeps_its_promises(moment: Moment) -> None:
    """All traffic goes somewhere; nothing cold grows by more than a step; broken arms only lose."""
    now, target, broken, able, step = moment
    shares = next_shares(now, target, broken, able, step)
    assert sum(shares.values()) == sum(target.values())
    assert min(shares.values()) >= 0
    is_freed = any(now.get(arm, 0) for arm in broken)
    heirs = set(able.warm) - broken if is_freed else set()
    for arm, share in shares.items():
        held = now.get(arm, 0)
        if arm not in heirs:
            assert share <= held + (step if arm in able.may_grow else 0)
        assert arm not in broken or share <= held
    if heirs:
        assert not any(shares.get(arm, 0) for arm in broken)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(moments())
def test_a_cold_heir_alone_is_what_a_broken_arm_waits_for(moment: Moment) -> None:
    """Whatever a broken arm keeps, nobody in order could have taken: all who may grow did."""
    now, target, broken, able, step = moment
    shares = next_shares(now, target, broken, able, step)
    if any(shares.get(arm, 0) for arm in broken):
        for arm, wanted in target.items():
            held = now.get(arm, 0)
            most = held + (step if arm in able.may_grow else 0)
            assert shares[arm] >= min(wanted, most)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(moments())
def test_the_target_is_reached_in_the_steps_it_needs(moment: Moment) -> None:
    """Where every arm may grow again each time, the target is reached, and then kept."""
    now, target, broken, _, step = moment
    most = max(target.get(arm, 0) - now.get(arm, 0) for arm in target)
    shares = now
    for _ in range(-(-max(most, 0) // step)):
        shares = next_shares(shares, target, broken, Able(ARMS), step)
    for found in (shares, next_shares(shares, target, broken, Able(), step)):
        assert all(share == target.get(arm, 0) for arm, share in found.items())
        assert sum(found.values()) == sum(target.values())


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 100)), max_size=20), st.floats(0.1, 10))
def test_an_arm_grows_once_in_its_time(moves: list[tuple[float, int]], every_s: float) -> None:
    """Whoever grew waits; whoever has had enough for as long is warm; the wait is told."""
    rises, now_s, held = Rises(every_s, 30), 100.0, 0
    rose_s = crossed_s = float("-inf")
    rises.note({"a": 0}, now_s)
    for after_s, share in moves:
        now_s += after_s
        rises.note({"a": share}, now_s)
        rose_s = now_s if share > held else rose_s
        crossed_s = now_s if share >= 30 > held else crossed_s
        held = share
        able = rises.able(now_s)
        grows, warms = rose_s + every_s - now_s, crossed_s + every_s - now_s
        assert ("a" in able.may_grow) == (grows <= 0)
        assert ("a" in able.warm) == (held >= 30 and warms <= 0)
        waits = [wait for wait in (grows, warms if held >= 30 else 0) if wait > 0]
        assert rises.wait_s(now_s) == min(waits, default=None)
