"""Alarms that the arms themselves raise: none is good, only one is labelled, none is labelled.

They move no weight and are kept beside the closed loop's, out of the digest.
"""

import math
from collections.abc import Mapping
from typing import Final

from msgspec import UNSET

from leverframe.policies.guard.capital import MICRO_NAT
from leverframe.policies.guard.verdict import arm_alpha
from leverframe.schemas.causes import Alarm, ExplorationCollapse, LabelOutage, NoGoodArm
from leverframe.schemas.traffic import Traffic
from leverframe.streams.learning.delays import delay_quantile_ms
from leverframe.streams.learning.metric_guard import proof_of_guardrail
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["arm_alarms", "label_alarms", "metric_alarms"]

_DIGITS: Final = 6
_COLLAPSED: Final = 500
"""Labels of one arm without one of another: at a floor of 2 % chance does so once in 24,000."""
_SILENT: Final = 200
"""Predictions without a label."""
_USUAL: Final = 0.99
_PATIENCE: Final = 1.5
_NONE: Final[Mapping[str, Alarm]] = {}


def arm_alarms(state: RouteState, route: Route, now_ms: int) -> dict[str, Alarm]:
    """Look at the arms after a decision; return the alarms that were raised just now."""
    found = {
        "no_good_arm": _no_good_arm(state, route),
        "exploration_collapse": _collapse(state, route, now_ms),
    }
    if not any(found.values()) and not state.loop.alarms:
        return {}
    return state.loop.note(found, now_ms)


def metric_alarms(state: RouteState, route: Route, now_ms: int) -> Mapping[str, Alarm]:
    """Look at the arms after metrics were judged; return the alarm that was raised just now."""
    found = _no_good_arm(state, route)
    if found is None and "no_good_arm" not in state.loop.alarms:
        return _NONE
    return state.loop.note({"no_good_arm": found}, now_ms)


def _no_good_arm(state: RouteState, route: Route) -> NoGoodArm | None:
    """Whether every eligible arm is harmful, by labels or by a guardrail, and who is least so."""
    arms, eligible = state.arms, state.eligible
    proofs: dict[str, tuple[str, float, float]] = {}
    for name in eligible:
        proof = _proof_of_labels(state, route, name) or proof_of_guardrail(state, route, name)
        if proof is None:
            return None
        proofs[name] = proof
    if not proofs:
        return None
    name = min(eligible, key=lambda name: arms[name].against_micro)
    metric, evidence, threshold = proofs[name]
    return NoGoodArm(
        arm=name,
        arms=len(eligible),
        metric=metric or UNSET,
        log_evidence=round(evidence, _DIGITS),
        log_threshold=round(threshold, _DIGITS),
    )


def _proof_of_labels(state: RouteState, route: Route, name: str) -> tuple[str, float, float] | None:
    """No metric, evidence and threshold in nats; None where labels do not prove an arm harmful."""
    arm, guard = state.arms[name], route.settings.guard
    if arm.verdict != "harmful":
        return None
    tests = 1 if guard.level is None else 2
    threshold = math.log(tests / arm_alpha(guard.alpha, arm.registration))
    return "", arm.against_micro * MICRO_NAT, threshold


def _collapse(state: RouteState, route: Route, now_ms: int) -> ExplorationCollapse | None:
    """Labels of one arm alone, many and for long, though nobody asked for that."""
    silent_s = route.settings.guard.no_data_s
    if sum(now_ms - arm.last_label_ms <= silent_s * 1000 for arm in state.arms.values()) > 1:
        return None
    eligible = [arm for arm in state.arms.values() if arm.is_eligible]
    if len(eligible) < 2 or state.pinned is not None or state.frozen:
        return None
    last = max(eligible, key=lambda arm: arm.last_label_ms)
    silent_ms = now_ms - max(arm.last_label_ms for arm in eligible if arm is not last)
    if silent_ms <= route.settings.guard.no_data_s * 1000:
        return None
    # The open block begins where the reference had been labelled for the last time.
    labels = last.alone[0] - last.evidence.block[0]
    if not last.evidence.reference or labels < _COLLAPSED:
        return None
    name = next(name for name, arm in state.arms.items() if arm is last)
    return ExplorationCollapse(
        arm=name, arms=len(eligible), labels=labels, silent_s=round(silent_ms / 1000, 3)
    )


def label_alarms(state: RouteState, route: Route, traffic: Traffic) -> dict[str, Alarm]:
    """Look whether labels come at all; return the alarm that was raised just now."""
    loop, joins = state.loop, traffic.joins
    if joins.get("labelled", 0) + joins.get("revision", 0) > 0:
        loop.labelled_ms, loop.unlabelled = max(loop.labelled_ms, traffic.until_ms), 0
    elif loop.labelled_ms:
        served = sum(part.count for part in traffic.served)
        loop.unlabelled = min(loop.unlabelled + served, 2**62)
    return loop.note({"label_outage": _outage(state, route, traffic.until_ms)}, traffic.until_ms)


def _outage(state: RouteState, route: Route, now_ms: int) -> LabelOutage | None:
    """Longer without any label than labels take."""
    loop = state.loop
    silent_ms = now_ms - loop.labelled_ms
    if loop.unlabelled < _SILENT or silent_ms <= route.settings.guard.no_data_s * 1000:
        return None
    delays = [delay_quantile_ms(arm.delays, _USUAL) for arm in state.arms.values()]
    usual_ms = max((delay for delay in delays if delay is not None), default=0)
    if silent_ms <= _PATIENCE * usual_ms + route.settings.guard.no_data_s * 1000:
        return None
    return LabelOutage(
        predictions=loop.unlabelled,
        silent_s=round(silent_ms / 1000, 3),
        usual_s=round(usual_ms / 1000, 3),
    )
