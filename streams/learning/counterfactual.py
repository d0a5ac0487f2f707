"""What another policy would have earned on a route, from its recorded rewards; pure.

The recorded rewards run through the pure learning step once more, with the policy in question in
the place of the one that was in force; the weights it would have published meet the requests that
were served after them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final, TypeVar

import msgspec
from msgspec import Struct, structs

from leverframe.policies.evaluation.estimators import Estimate, Evaluation, estimate
from leverframe.policies.evaluation.logged import EvaluationError
from leverframe.policies.shaping import floor_of
from leverframe.schemas.codec import DECODE_ERRORS, decoder
from leverframe.schemas.command import Action, Command
from leverframe.schemas.measurements import Measured, Measurements, route_of_metrics
from leverframe.schemas.reward import Reward
from leverframe.streams.envelope import InputRecord
from leverframe.streams.learning.recorded import (
    Recorded,
    context_dimension,
    lay_out,
    of_metric,
    of_rewards,
)
from leverframe.streams.learning.restart import states_at_begin
from leverframe.streams.learning.schedule import Schedule
from leverframe.streams.learning.step import InputKind, learn
from leverframe.streams.routes.metrics import Metric
from leverframe.streams.routes.route import Route, Routes
from leverframe.streams.routes.settings import NamedParams

__all__ = ["Answer", "MetricAnswer", "evaluate_records", "target_propensities"]

T = TypeVar("T")

# What people did to arms holds under any policy; what they did to the policy itself does not.
_FOLLOWED: Final[frozenset[Action]] = frozenset(
    {"register_arm", "retire_arm", "promote", "rollback", "release", "decide"}
)
_CHUNK: Final = 2000
_decode_reward: Final = decoder(Reward)
_decode_measurements: Final = decoder(Measurements)
_decode_command: Final = decoder(Command)


class MetricAnswer(Struct, frozen=True, kw_only=True):
    """What a metric would have been under a policy, in the metric's own unit.

    Attributes
    ----------
    name : str
        Of the metric.
    requests : int
        That measured it, served after the policy's first weights.
    logged : Estimate or None
        Its mean as served; None where ``refused`` says why.
    snips : Estimate or None
        Its mean under the policy, self-normalised.
    refused : str
        Why nothing can be said; empty where something can.
    """

    name: str
    requests: int
    logged: Estimate | None
    snips: Estimate | None
    refused: str = ""


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
    metrics : list of MetricAnswer
        Of the metrics that the route declares.
    """

    evaluation: Evaluation
    rewards: int
    too_early: int
    why_no_dr: str
    metrics: list[MetricAnswer] = msgspec.field(default_factory=list)


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
    ever tried; a metric of which that is so is refused alone. Raises ``PolicyError`` if the policy
    is unknown or a parameter is wrong. Answers in shadow are left out. The last word on each
    request counts; one that was withdrawn is left out. A request meets the weights published before
    it was served, by ``predicted_at_ms``, or before its reward, should a producer's clock run
    ahead: so its own reward has no part in them.
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
    recorded = [record for record in records if record.topic == rewards_topic]
    rewards = of_rewards(_decoded(recorded, _decode_reward), route)
    met = _met(rewards, schedule)
    dimension, why_no_dr = context_dimension(met)
    logged = lay_out(met, schedule, reassign_ms=route.reassign_ms or 0, dimension=dimension)
    floor = floor_of(route.settings.floor, len(logged.arms))
    measured = _measured(recorded) if route.metrics else []
    return Answer(
        evaluation=estimate(logged, weight_bound=1.0 / floor if floor else None),
        rewards=len(rewards),
        too_early=len(rewards) - len(met),
        why_no_dr=why_no_dr,
        metrics=[_metric_answer(metric, measured, schedule, route) for metric in route.metrics],
    )


def _decoded(records: Iterable[InputRecord], decode: Callable[[bytes], T]) -> Iterator[T]:
    """Those that can be read: the others are dead letters, or of another kind."""
    for record in records:
        with suppress(*DECODE_ERRORS):
            yield decode(record.value or b"")


def _measured(records: Iterable[InputRecord]) -> list[Measured]:
    told = (record for record in records if route_of_metrics(record.key) is not None)
    return [one for batch in _decoded(told, _decode_measurements) for one in batch.measured]


def _met(rows: Sequence[Recorded], schedule: Schedule) -> list[Recorded]:
    """Those that met weights of the policy."""
    return [row for row in rows if schedule.before(row.served_ms) >= 0]


def _metric_answer(
    metric: Metric, measured: Sequence[Measured], schedule: Schedule, route: Route
) -> MetricAnswer:
    met = _met(of_metric(measured, metric), schedule)
    try:
        found = estimate(lay_out(met, schedule, reassign_ms=route.reassign_ms or 0))
    except EvaluationError as error:
        refused = str(error) if met else "no request measured it after the policy's first weights"
        return MetricAnswer(
            name=metric.name, requests=len(met), logged=None, snips=None, refused=refused
        )
    return MetricAnswer(
        name=metric.name,
        requests=len(met),
        logged=_in_its_unit(found.logged, metric),
        snips=_in_its_unit(found.snips, metric),
    )


def _in_its_unit(found: Estimate, metric: Metric) -> Estimate:
    ends = sorted((metric.value_of(found.low), metric.value_of(found.high)))
    return Estimate(value=metric.value_of(found.value), low=ends[0], high=ends[1])
