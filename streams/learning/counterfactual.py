"""What another policy would have earned on a route, from its recorded rewards; pure.

The recorded rewards run through the pure learning step once more, with the policy in question in
the place of the one that was in force; the weights it would have published meet the requests that
were served after them.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from leverframe.policies.evaluation.estimators import Evaluation, estimate
from leverframe.policies.evaluation.logged import LoggedRewards
from leverframe.policies.reward_base import to_unit
from leverframe.policies.shaping import floor_of
from leverframe.schemas.codec import DECODE_ERRORS, decoder
from leverframe.schemas.command import Action, Command
from leverframe.schemas.reward import Reward
from leverframe.streams.envelope import InputRecord
from leverframe.streams.learning.linear import LARGEST_FEATURE
from leverframe.streams.learning.restart import states_at_begin
from leverframe.streams.learning.step import InputKind, learn
from leverframe.streams.routes.route import Route, Routes
from leverframe.streams.routes.settings import NamedParams

__all__ = ["Answer", "Schedule", "evaluate_records", "target_propensities"]

# What people did to arms holds under any policy; what they did to the policy itself does not.
_FOLLOWED: Final[frozenset[Action]] = frozenset(
    {"register_arm", "retire_arm", "promote", "rollback", "release", "decide"}
)
_CHUNK: Final = 2000
_decode_reward: Final = decoder(Reward)
_decode_command: Final = decoder(Command)


class Schedule(Struct, frozen=True, kw_only=True):
    """The weights that a policy would have published, in order.

    Attributes
    ----------
    times_ms : list of int
        Stream time of each publication, never falling, ms since the epoch.
    weights : list of dict of str to float
        By arm; together 1.
    """

    times_ms: list[int]
    weights: list[dict[str, float]]

    def before(self, time_ms: int) -> int:
        """Return the index of the weights in force just before a moment; -1 before the first."""
        return bisect_left(self.times_ms, time_ms) - 1


class Answer(Struct, frozen=True, kw_only=True):
    """An evaluation, and which rewards it stands on.

    Attributes
    ----------
    evaluation : Evaluation
        The estimates.
    rewards : int
        Requests with a reward that was not withdrawn.
    too_early : int
        Those served before the policy could have published its first weights; not used.
    why_no_dr : str
        Why there is no doubly robust estimate; empty where there is one.
    """

    evaluation: Evaluation
    rewards: int
    too_early: int
    why_no_dr: str


def target_propensities(
    records: Sequence[InputRecord],
    name: str,
    route: Route,
    policy: NamedParams,
    *,
    rewards_topic: str,
    max_value_bytes: int,
    report: Callable[[int], None] = lambda _: None,
) -> Schedule:
    """Return the weights that a policy would have published, seeing what was logged.

    The weights published at t rest on rewards attributed by t alone. Commands that steer the policy
    or its weights (``set_policy``, ``pin``, ``freeze``) are left out; those that steer arms hold.
    Raises ``PolicyError`` if the policy is unknown or a parameter is wrong.
    """
    instead = structs.replace(route.settings, policy=policy, shadow=[])
    routes = Routes({name: instead}, None)
    states = states_at_begin(records)
    times: list[int] = []
    weights: list[dict[str, float]] = []
    for at in range(0, len(records), _CHUNK):
        chunk = records[at : at + _CHUNK]
        held = [r for r in chunk if r.topic == rewards_topic or _holds(r)]
        runs: list[tuple[InputKind, list[InputRecord]]] = [
            ("rewards" if is_reward else "commands", list(run))
            for is_reward, run in groupby(held, key=lambda r: r.topic == rewards_topic)
        ]
        outcome = learn(runs, states, routes, max_value_bytes=max_value_bytes)
        states |= outcome.states
        for message in outcome.control:
            times.append(max(message.issued_at_ms, times[-1] if times else 0))
            weights.append(message.weights)
        report(len(chunk))
    return Schedule(times_ms=times, weights=weights)


def _holds(command: InputRecord) -> bool:
    try:
        return _decode_command(command.value or b"").action in _FOLLOWED
    except DECODE_ERRORS:
        return False


def _as_reward(record: InputRecord) -> Reward | None:
    try:
        return _decode_reward(record.value or b"")
    except DECODE_ERRORS:
        return None


def evaluate_records(
    records: Sequence[InputRecord],
    name: str,
    route: Route,
    policy: NamedParams,
    *,
    rewards_topic: str,
    max_value_bytes: int,
    report: Callable[[int], None] = lambda _: None,
) -> Answer:
    """Return what a policy would have earned.

    Raises ``EvaluationError`` if propensities are missing, or the policy's choices were hardly
    ever tried. Raises ``PolicyError`` if the policy is unknown or a parameter is wrong. Answers in
    shadow are left out. The last
    word on each request counts; one that was withdrawn is left out. A request meets the weights
    published before it was served, by ``predicted_at_ms``, or before its reward, should a
    producer's clock run ahead: so its own reward has no part in them.
    """
    schedule = target_propensities(
        records,
        name,
        route,
        policy,
        rewards_topic=rewards_topic,
        max_value_bytes=max_value_bytes,
        report=report,
    )
    said = (_as_reward(record) for record in records if record.topic == rewards_topic)
    # What was computed in shadow was not given: no policy chose it.
    last = {one.request_id: one for one in said if one is not None and one.served}
    rewards = sorted((r for r in last.values() if r.reward is not None), key=_served_ms)
    met = [(r, at) for r in rewards if (at := schedule.before(_served_ms(r))) >= 0]
    dimension, why_no_dr = _context_dimension([reward for reward, _ in met])
    logged = _lay_out(met, schedule, route, dimension)
    floor = floor_of(route.settings.floor, len(logged.arms))
    return Answer(
        evaluation=estimate(logged, weight_bound=1.0 / floor if floor else None),
        rewards=len(rewards),
        too_early=len(rewards) - len(met),
        why_no_dr=why_no_dr,
    )


def _served_ms(reward: Reward) -> int:
    return min(reward.predicted_at_ms, reward.attributed_at_ms)


def _context_dimension(rewards: Sequence[Reward]) -> tuple[int, str]:
    """The length of every context, or 0 and why there is no such thing."""
    sizes = {0 if reward.context is None else len(reward.context) for reward in rewards}
    if 0 in sizes:
        without = sum(not reward.context for reward in rewards)
        return 0, f"{without / len(rewards):.1%} of the requests have no context"
    if len(sizes) != 1:
        return 0, f"contexts differ in length: {', '.join(map(str, sorted(sizes)))}"
    return sizes.pop(), ""


def _lay_out(
    met: Sequence[tuple[Reward, int]], schedule: Schedule, route: Route, dimension: int
) -> LoggedRewards:
    arms = sorted(
        {arm for weights in schedule.weights for arm in weights} | {r.arm for r, _ in met}
    )
    index = {arm: k for k, arm in enumerate(arms)}
    published = np.zeros((len(schedule.weights), len(arms)))
    for row, weights in enumerate(schedule.weights):
        for arm, share in weights.items():
            published[row, index[arm]] = share
    low, high = route.reward_low, route.reward_high
    return LoggedRewards(
        arms=tuple(arms),
        reward=np.array([to_unit(r.reward, low, high) for r, _ in met if r.reward is not None]),
        arm=np.array([index[r.arm] for r, _ in met], dtype=np.int64),
        propensity=np.array([r.propensity or np.nan for r, _ in met]),
        target=published[[at for _, at in met]],
        context=(
            np.array([r.context for r, _ in met]).clip(-LARGEST_FEATURE, LARGEST_FEATURE)
            if dimension
            else None
        ),
        unit=_units([reward for reward, _ in met], route),
    )


def _units(rewards: Sequence[Reward], route: Route) -> NDArray[np.int64] | None:
    """A number for each unit, and for each period where units are drawn anew in each."""
    if all(reward.unit_id is None for reward in rewards):
        return None
    period_ms = route.reassign_ms
    numbers: dict[tuple[bool, str, int], int] = {}
    found = []
    for reward in rewards:
        is_named = reward.unit_id is not None
        period = _served_ms(reward) // period_ms if period_ms and is_named else 0
        unit = is_named, reward.unit_id or reward.request_id, period
        found.append(numbers.setdefault(unit, len(numbers)))
    return np.array(found)
