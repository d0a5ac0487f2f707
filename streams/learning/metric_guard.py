"""The guard on metrics: bets as predictions come, and the rollback that they ask for.

No label is waited for: what a prediction measured is known with it. Bets are settled at each record
of measurements, so that they depend on the order of what was recorded alone.
"""

import math
from typing import Any, Final

from msgspec import Struct

from leverframe.policies.guard.betting import log_growth_of_block
from leverframe.policies.guard.capital import MICRO_NAT, grow, log_wealth_of
from leverframe.policies.guard.shares import log_growth_of_shares
from leverframe.policies.guard.verdict import arm_alpha
from leverframe.policies.units import FROM_NANO, NANO
from leverframe.schemas.causes import MetricCause
from leverframe.schemas.evidence import MetricEvidence
from leverframe.schemas.measurements import Measurements
from leverframe.streams.learning.budget import propose_budget
from leverframe.streams.learning.change import Change, RollBack
from leverframe.streams.learning.heirs import fallback_of, is_safe_to_leave, reference_of
from leverframe.streams.learning.measured import (
    MetricSums,
    RouteMetrics,
    begin_anew,
    is_suspect,
    note_measured,
    note_suspects,
    quantile_of,
)
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.metrics import Metric
from leverframe.streams.routes.route import Route

__all__ = ["judge_measured", "metrics_of_arm", "proof_of_guardrail"]

_DIGITS: Final = 6
_STAKES: Final = slice(1, None, 2)  # every other one: each bet more costs all others a little
_SPARE: Final = 3.0  # nats beyond the threshold that are worth keeping
_NOTHING: Final = MetricSums()


class _Finding(Struct, frozen=True):
    """Evidence that has reached its threshold."""

    arm: str
    metric: Metric
    log_evidence: float
    log_threshold: float

    @property
    def lead(self) -> float:
        return self.log_evidence - self.log_threshold


def judge_measured(
    state: RouteState, route: Route, told: Measurements
) -> tuple[Change | None, int]:
    """Count what was measured, bet on it, and propose a rollback, or weights within the budget.

    Returns the change with the stream time of the newest prediction, ms since the epoch.
    """
    known = state.measured
    if known is None:
        known = state.measured = RouteMetrics()
    for one in told.measured:
        if one.arm in state.arms:
            note_measured(known, route, one)
    # Nothing is new of others: a block closes at a request of the arm itself.
    asked = dict.fromkeys(one.arm for one in told.measured if one.arm in state.arms)
    now_ms = max((one.at_ms for one in told.measured), default=0)
    found = [
        finding
        for name in asked
        for metric in route.metrics
        if (finding := _settle(state, known, route, name, metric)) is not None
    ]
    note_suspects(known, route, asked)
    change = _propose(state, known, route, found)
    if change is None and asked:
        change = propose_budget(state, route)
    return change, now_ms


# -- bets --------------------------------------------------------------------------------------


def _settle(
    state: RouteState, known: RouteMetrics, route: Route, name: str, metric: Metric
) -> _Finding | None:
    """Bet on what is new of one arm's metric; return what is proved."""
    sums = known.arms.get(name, {}).get(metric.name)
    arm = state.arms[name]
    if sums is None or not (metric.is_judged and arm.is_eligible):
        return None
    threshold = _threshold(route, metric, arm.registration)
    if metric.level is not None:
        if sums.won:
            now = [sums.count, sums.own, 0, 0]
            grow(sums.capital, [sums.won[1:]], sums.won[0], now, threshold + _SPARE)
            sums.won = []
    else:
        reference = _reference(state, known, route, name)
        other = known.arms.get(reference, {}).get(metric.name)
        if other is None or sums.reference != reference:
            begin_anew(sums, reference if other is not None else "", other)
        elif sums.closed:
            _bet_on_blocks(sums, metric, threshold + _SPARE)
    evidence = log_wealth_of(sums.capital, 0)
    sums.against_micro = round(evidence / MICRO_NAT)
    sums.is_proved = evidence >= threshold
    return _Finding(name, metric, evidence, threshold) if sums.is_proved else None


def _threshold(route: Route, metric: Metric, registration: int) -> float:
    """Nats: metrics of one role share the route's alpha among them, and among all arms."""
    role = metric.settings.role
    rivals = sum(one.settings.role == role for one in route.metrics)
    return math.log(rivals / arm_alpha(route.settings.guard.alpha, registration))


def _reference(state: RouteState, known: RouteMetrics, route: Route, name: str) -> str:
    """The arm that one is held against; a champion keeps its own while that one is sound."""
    if route.is_holdout(name):
        return ""
    if name == state.champion:
        for sums in known.arms.get(name, {}).values():
            now = state.arms.get(sums.reference)
            if now is not None and now.is_eligible and not is_suspect(known, sums.reference):
                return sums.reference
    found = reference_of(state, name)
    return found if found is not None and state.arms[found].is_eligible else ""


def _bet_on_blocks(sums: MetricSums, metric: Metric, most: float) -> None:
    """Bet on blocks: on the difference of means, and on how much rarer bad requests are."""
    is_on_means = metric.settings.quantile is None
    margin = metric.margin_nano * FROM_NANO if is_on_means else 0.0
    count, side = sums.base
    rate = (side * FROM_NANO + 0.5) / (count + 1)
    total = [0.0] * len(sums.capital.log_active[0])
    for own, own_bad, others, other_bad in sums.closed:
        lead = (other_bad / others - own_bad / own) * FROM_NANO
        new = log_growth_of_block(lead, own, others, margin)[_STAKES] if is_on_means else []
        new += log_growth_of_shares(
            (own, own_bad * FROM_NANO), (others, other_bad * FROM_NANO), rate, margin
        )
        total = [one + more for one, more in zip(total, new, strict=True)]
    growth = [[nats / MICRO_NAT for nats in total]]
    grow(sums.capital, growth, len(sums.closed), list(sums.block), most)
    sums.closed, sums.base = [], sums.block[2:]


def proof_of_guardrail(
    state: RouteState, route: Route, name: str
) -> tuple[str, float, float] | None:
    """Return the guardrail that an arm surely hurts most, its evidence and threshold, nats."""
    own = {} if state.measured is None else state.measured.arms.get(name, {})
    proved = [
        (
            metric.name,
            own[metric.name].against_micro * MICRO_NAT,
            _threshold(route, metric, state.arms[name].registration),
        )
        for metric in route.metrics
        if metric.is_guardrail and metric.name in own and own[metric.name].is_proved
    ]
    return max(proved, key=lambda one: one[1] - one[2], default=None)


# -- what follows ------------------------------------------------------------------------------


def _propose(
    state: RouteState, known: RouteMetrics, route: Route, found: list[_Finding]
) -> Change | None:
    """Propose to roll back the arm with most evidence for which a sound one can stand in."""
    if not route.settings.guard.enabled:
        return None
    leaving = [
        (finding, heir)
        for finding in found
        if finding.metric.is_guardrail and (heir := _heir(state, finding.arm)) is not None
    ]
    if not leaving:
        return None
    finding, heir = max(leaving, key=lambda one: one[0].lead)
    cause = _cause(known, route, finding, heir)
    return Change(kind="rollback", cause=cause, moves=(RollBack(finding.arm, heir),))


def _heir(state: RouteState, leaving: str) -> str | None:
    """Who takes over; None where nobody sound can, or a person pinned the arm."""
    if not is_safe_to_leave(state, leaving):
        return None
    usual = fallback_of(state, leaving)
    if usual is not None and not is_suspect(state.measured, usual):
        return usual
    sound = [
        name
        for name in state.eligible
        if name != leaving
        and state.arms[name].phase != "nursery"
        and not is_suspect(state.measured, name)
    ]
    return max(sound, key=lambda name: state.arms[name].count, default=None)


def _cause(known: RouteMetrics, route: Route, finding: _Finding, heir: str) -> MetricCause:
    metric = finding.metric
    sums = known.arms[finding.arm][metric.name]
    own, own_bad, others, other_bad = sums.capital.since
    figures = _since(metric, sums.count - own, sums.own - own_bad)
    told: dict[str, Any] = {"requests": figures[0], _figure(metric): figures[1]}
    if metric.level is None:
        other = known.arms[sums.reference][metric.name]
        beside = _since(metric, other.count - others, other.side - other_bad)
        told |= {
            "compared_with": sums.reference,
            "reference_requests": beside[0],
            "reference_" + _figure(metric): beside[1],
            "margin": metric.settings.margin,
        }
        if metric.settings.quantile is not None:
            beyond = metric.value_of((other.threshold + metric.margin_nano) / NANO)
            told["threshold"] = round(beyond, _DIGITS)
    else:
        told |= {"bound": metric.settings.bound, "margin": metric.settings.margin}
    if metric.settings.quantile is not None:
        told["quantile"] = metric.settings.quantile
    return MetricCause(
        arm=finding.arm,
        metric=metric.name,
        test="reference" if metric.level is None else "bound",
        **told,
        alpha=route.settings.guard.alpha,
        log_evidence=round(finding.log_evidence, _DIGITS),
        log_threshold=round(finding.log_threshold, _DIGITS),
        traffic_to=heir,
    )


def _figure(metric: Metric) -> str:
    return "mean" if metric.settings.quantile is None else "share"


def _since(metric: Metric, requests: int, bad: int) -> tuple[int, float | None]:
    """Requests, and their mean in the metric's unit, or the share of them beyond its threshold."""
    if not requests:
        return 0, None
    share = bad / NANO / requests
    value = metric.value_of(share) if metric.settings.quantile is None else share
    return requests, round(value, _DIGITS)


def metrics_of_arm(state: RouteState, route: Route, name: str) -> dict[str, MetricEvidence]:
    """Return what is known of an arm's metrics, by name, as control messages tell it."""
    own = {} if state.measured is None else state.measured.arms.get(name, {})
    told: dict[str, MetricEvidence] = {}
    for metric in route.metrics:
        sums = own.get(metric.name, _NOTHING)
        quantile = quantile_of(sums, metric)
        told[metric.name] = MetricEvidence(
            role=metric.settings.role,
            verdict=_verdict(sums),
            requests=sums.count,
            mean=_mean(metric, sums),
            **({} if quantile is None else {"quantile": round(quantile, _DIGITS)}),
            **(
                {"against": round(sums.against_micro * MICRO_NAT, _DIGITS)}
                if sums.against_micro > 0
                else {}
            ),
        )
    return told


def _mean(metric: Metric, sums: MetricSums) -> float | None:
    return round(metric.value_of(sums.total / NANO / sums.count), _DIGITS) if sums.count else None


def _verdict(sums: MetricSums) -> str:
    if sums.is_proved:
        return "harmful"
    return "inconclusive" if sums.count else "no_data"
