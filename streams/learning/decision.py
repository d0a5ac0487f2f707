"""One decision: the guard looks, the policy weighs, the shaping limits (DESIGN.md section 7).

Decisions are due by stream time and label counts, never by micro-batch, so that a replay of the
same records in the same order makes the same decisions.
"""

import math
from typing import Final

from msgspec import UNSET

from leverframe.policies.guard.capital import MICRO_NAT
from leverframe.policies.guard.interval import confidence_interval
from leverframe.policies.guard.verdict import arm_alpha, proof_of_better
from leverframe.policies.units import NANO
from leverframe.schemas.causes import BetterCause, PolicyCause
from leverframe.schemas.evidence import ArmEvidence
from leverframe.streams.learning.approval import lapse, proposed
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.change import Change, Grow, Move, Promote
from leverframe.streams.learning.guard import (
    DIGITS,
    compared_for_life,
    propose_rollback,
    settle_bets,
    verdict_of,
)
from leverframe.streams.learning.measured import is_held
from leverframe.streams.learning.metric_guard import metrics_of_arm
from leverframe.streams.learning.probation import propose_probation
from leverframe.streams.learning.ramping import propose_ramp
from leverframe.streams.learning.recent_mean import recent_evidence
from leverframe.streams.learning.shadow_evidence import shadow_evidence
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.weights import is_weighing_due
from leverframe.streams.routes.route import Route

__all__ = ["arms_now", "burst_end_ms", "decide", "is_burst_over", "is_informed", "is_late"]

_PATIENCE: Final = 10  # decision intervals, if nothing is urgent; at most so long:
_LONGEST_PATIENCE_MS: Final = 200
_ENOUGH_NEWS: Final = 64
_NEWS_SHARE: Final = 100


def is_late(state: RouteState, route: Route, now_ms: int) -> bool:
    """Whether enough stream time has passed since the last decision."""
    return now_ms - state.last_decision_ms >= route.settings.decision_interval_ms


def is_informed(state: RouteState, route: Route, now_ms: int) -> bool:
    """Whether the labels since the last decision can change it.

    A few beside thousands move nothing, unless they are so bad that an arm might be suspected.
    """
    return (
        any(arm.slack_nano < 0 for arm in state.arms.values())
        or state.labels_since_decision >= min(_ENOUGH_NEWS, state.weighed_labels // _NEWS_SHARE)
        or now_ms - state.last_decision_ms >= _patience_ms(route)
    )


def _patience_ms(route: Route) -> int:
    """The longest that labels wait for others that are worth a decision, in stream time."""
    interval_ms = route.settings.decision_interval_ms
    return max(interval_ms, min(_PATIENCE * interval_ms, _LONGEST_PATIENCE_MS))


def burst_end_ms(state: RouteState, route: Route) -> int:
    """Return the stream time at which a burst is over, and what waits of it is decided upon.

    Labels that come all at once are judged among themselves, not when the next one comes.
    """
    newest_ms = max(arm.last_label_ms for arm in state.arms.values())
    return max(
        newest_ms + route.settings.decision_interval_ms,
        state.last_decision_ms + _least_wait_ms(state, route),
    )


def _least_wait_ms(state: RouteState, route: Route) -> int:
    """How long after a decision labels wait for others at least, in stream time."""
    is_urgent = any(arm.slack_nano < 0 for arm in state.arms.values())
    return route.settings.decision_interval_ms if is_urgent else _patience_ms(route)


def is_burst_over(state: RouteState, route: Route, now_ms: int) -> bool:
    """Whether labels wait for a decision whose time has come before a stream time."""
    if not state.labels_since_decision:
        return False
    # Asked at most labels, and mostly it is too early for whatever came when.
    waited_ms = now_ms - state.last_decision_ms
    return waited_ms >= _least_wait_ms(state, route) and now_ms >= burst_end_ms(state, route)


def decide(state: RouteState, route: Route, now_ms: int) -> Change | None:
    """Settle the guard's bets, then propose what the evidence asks for.

    A rollback goes before a probation, that before a ramp's step, that before a promotion, and that
    before a step of the policy.
    """
    state.last_decision_ms = max(state.last_decision_ms, now_ms)
    state.labels_since_decision = 0
    rollback = propose_rollback(state, route, settle_bets(state, route, now_ms))
    if rollback is not None:
        return rollback
    probation = propose_probation(state, route)
    if probation is not None:
        return probation
    in_hand = lapse(state, now_ms) or propose_ramp(state, route, now_ms)
    if in_hand is not None:
        return in_hand
    grown = [name for name, arm in state.arms.items() if _is_grown(arm)]
    promotion = _propose_promotion(state, route, grown, now_ms)
    if promotion is not None:
        return promotion
    if not grown and not is_weighing_due(state, now_ms):
        return None
    return Change(
        kind="routing",
        cause=PolicyCause(),
        moves=tuple(map(Grow, grown)),
        reweighs=True,
        least_step=route.settings.min_publish_change,
    )


def _is_grown(arm: ArmState) -> bool:
    return arm.phase == "nursery" and arm.count >= arm.nursery_until


def _may_promote(state: RouteState, route: Route, now_ms: int) -> bool:
    """Whether nobody and nothing holds the champion where it is."""
    is_held = state.pinned or state.frozen or state.ramp is not None
    is_cooling = now_ms < state.cooldown_until_ms
    return bool(route.settings.promote) and not (is_held or is_cooling) and route.may_change(now_ms)


def _propose_promotion(
    state: RouteState, route: Route, grown: list[str], now_ms: int
) -> Change | None:
    """The challenger that is better than the champion, by the guard's own bets turned round."""
    settings = route.settings
    if not _may_promote(state, route, now_ms):
        return None
    champion = state.arms.get(state.champion or "")
    if champion is not None and champion.suspicion.has_fallen:
        # To be better than an arm that breaks is no merit; it is rolled back, or acquitted.
        return None
    for name, arm in state.arms.items():
        is_candidate = arm.phase in {"candidate", "shadow"} or name in grown
        if not is_candidate or arm.evidence.reference != state.champion:
            continue
        is_waiting = arm.held_until_ms > now_ms or is_held(state.measured, route, name)
        if arm.verdict in {"no_data", "harmful"} or is_waiting:
            continue
        alpha = arm_alpha(settings.guard.alpha, arm.registration)
        better = proof_of_better(arm.evidence, alpha)
        if better is not None:
            cause = BetterCause(
                arm=name,
                **compared_for_life(state, name),
                alpha=settings.guard.alpha,
                log_evidence=round(better, DIGITS),
                log_threshold=round(math.log(1 / alpha), DIGITS),
            )
            if settings.promote == "propose":
                return proposed(state, route, cause, now_ms)
            moves: tuple[Move, ...] = (*map(Grow, grown), Promote(name))
            return Change(kind="promotion", cause=cause, moves=moves, reweighs=True)
    return None


def arms_now(state: RouteState, route: Route, now_ms: int) -> dict[str, ArmEvidence]:
    """Return what the arms look like, without retired ones, for the cause of a control message."""
    alpha = route.settings.guard.alpha
    known: dict[str, ArmEvidence] = {}
    for name, arm in state.arms.items():
        if arm.phase == "retired":
            continue
        total = arm.sum_nano / NANO
        low, high = confidence_interval(arm.count, total, alpha)
        known[name] = ArmEvidence(
            phase=arm.phase,
            verdict=verdict_of(arm, route, now_ms),
            labels=arm.count,
            mean=round(total / arm.count, DIGITS) if arm.count else None,
            bounds=[round(low, DIGITS), round(high, DIGITS)],
            recent=recent_evidence(arm, route.settings.bucket_ms) or UNSET,
            against=round(arm.against_micro * MICRO_NAT, DIGITS)
            if arm.against_micro > 0
            else UNSET,
            in_shadow=shadow_evidence(state, route, name) or UNSET,
            metrics=metrics_of_arm(state, route, name) or UNSET,
            prior=[round(one / NANO, DIGITS) for one in arm.prior] if any(arm.prior) else UNSET,
        )
    return known
