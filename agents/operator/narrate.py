"""The one narrator: from causes to sentences, for command line, page, webhook and log. Pure.

``headline`` says what happened in a few words, ``sentence`` also on which evidence. What a message
of a newer version names, and this one does not know, is told by its name.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from leverframe.agents.operator.narrate_metrics import budget_sentence, metric_sentence
from leverframe.schemas.causes import (
    BetterCause,
    BudgetCause,
    Cause,
    CommandCause,
    DriftCause,
    ExplorationCollapse,
    GuardCause,
    HeartbeatCause,
    LabelOutage,
    MetricCause,
    NoGoodArm,
    PartitionerMismatch,
    PolicyCause,
    ProbationCause,
    ProposalCause,
    RampCause,
    RegisteredCause,
    RollbackNotEffective,
    UnknownCause,
    WeightsNotFollowed,
    cause_of,
)
from leverframe.schemas.control import ControlMessage

__all__ = [
    "ALARM_HEADLINES",
    "CRITICAL_ALARMS",
    "headline",
    "proposal_text",
    "ramp_text",
    "sentence",
    "why",
]

ALARM_HEADLINES: Final = {
    "rollback_not_effective": "an arm that was rolled back still answers",
    "weights_not_followed": "arms do not answer in the published shares",
    "suspected_partitioner_mismatch": "predictions and labels do not meet: leverframe doctor",
    "no_good_arm": "every arm is harmful: the least bad one keeps the traffic",
    "exploration_collapse": "only one of several arms gets labels any more",
    "label_outage": "predictions come, and no labels: the guard sees nothing",
}
"""What each alarm says in a few words, by its name."""
CRITICAL_ALARMS: Final = frozenset({"rollback_not_effective", "no_good_arm"})
"""Users meet an arm that was taken off, or one that harms; other alarms are about evidence."""


def why(message: ControlMessage) -> str:
    """Return the sentence of a message's cause; a person's rollback names where traffic went."""
    cause = cause_of(message.cause)
    said = sentence(cause)
    if isinstance(cause, CommandCause) and message.kind == "rollback" and message.champion:
        said += f"; its traffic went to {message.champion}"
    return said


def headline(cause: Cause) -> str:
    """Say what happened in a few words."""
    return _HEADLINES[type(cause)](cause)


def sentence(cause: Cause) -> str:
    """Say what happened, and on which evidence."""
    return _SENTENCES.get(type(cause), headline)(cause)


def _command(cause: CommandCause) -> str:
    arm = f" {cause.arm}" if isinstance(cause.arm, str) else ""
    action = f"{cause.do} {cause.action}" if isinstance(cause.do, str) else cause.action
    return f"{action}{arm} by {cause.actor}"


def _unknown(cause: UnknownCause) -> str:
    if cause.why in ALARM_HEADLINES:
        return ALARM_HEADLINES[cause.why]
    if "arm" in cause.fields:
        return f"{cause.why}: {cause.fields['arm']}"
    return cause.why or "a reason that is not told"


def _on_pairs(cause: GuardCause | BetterCause | ProposalCause) -> str:
    """What requests say that both arms answered; empty where there are none."""
    if not isinstance(cause.pairs, int) or not isinstance(cause.pair_difference, float):
        return ""
    word = "better" if cause.pair_difference > 0 else "worse"
    return (
        f"{abs(cause.pair_difference):.4f} {word} than {cause.compared_with} on "
        f"{cause.pairs:,} requests that both answered"
    )


def _guard(cause: GuardCause) -> str:
    on_pairs = _on_pairs(cause) if cause.test == "champion" else ""
    ending = (
        f"; log evidence {cause.log_evidence:.2f} reached {cause.log_threshold:.2f} "
        f"(alpha {cause.alpha}); its traffic went to {cause.traffic_to}"
    )
    if on_pairs and not cause.labels:
        return f"{cause.arm} was rolled back: {on_pairs}, since it began to look bad{ending}"
    lead = (
        f"{cause.arm} was rolled back: mean {cause.mean} of {cause.labels:,} labels "
        f"since it began to look bad"
    )
    if cause.test == "champion":
        beside = f"{cause.reference_mean} of {cause.reference_labels:,}"
        lead += f", {cause.compared_with} {beside} meanwhile"
    else:
        lead += f", where {cause.reward_floor} is the floor"
    return f"{lead}{f', and {on_pairs}' if on_pairs else ''}{ending}"


def _drift(cause: DriftCause) -> str:
    said = (
        f"{', '.join(cause.detectors)} saw the rewards of {cause.arm} change from "
        f"{cause.mean_before} to {cause.mean_after}; action {cause.action}"
    )
    if isinstance(cause.traffic_to, str):
        said += f", its traffic went to {cause.traffic_to}"
    return said


def _better(cause: BetterCause) -> str:
    ending = f"log evidence {cause.log_evidence:.2f} reached {cause.log_threshold:.2f}"
    on_pairs = _on_pairs(cause)
    if on_pairs and not cause.labels:
        return f"{cause.arm} became champion, proved in shadow: {on_pairs}; {ending}"
    beside = f"{on_pairs}; " if on_pairs else ""
    return (
        f"{cause.arm} became champion: {beside}mean {cause.mean} of {cause.labels:,} labels, "
        f"{cause.compared_with} {cause.reference_mean} of {cause.reference_labels:,}; {ending}"
    )


_SUSPECTED: Final = {
    "fallen": "its labels fell below its own past",
    "against": "the evidence against it is 5 to 1",
}
_ACQUITTED: Final = {
    "faded": "its labels are as before",
    "shared": "its reference fell as well, so the world did",
    "too_long": "it took too long; its past begins anew",
    "overruled": "a person decides now",
    "moved": "it is held against another arm now",
}


def _probation(cause: ProbationCause) -> str:
    is_begun = cause.step == "begun"
    known = _SUSPECTED if is_begun else _ACQUITTED
    lead = "is on probation" if is_begun else "is no longer on probation"
    said = f"{cause.arm} {lead}: {known.get(cause.how, cause.how)}"
    if cause.mean is not None:
        said += f"; mean {cause.mean} of {cause.labels:,} labels since"
    if cause.mean_before is not None:
        said += f", {cause.mean_before} before"
    if is_begun:
        said += (
            f"; it has at most {cause.share:g} of the traffic, and {cause.compared_with} labels "
            "first, until they convict or acquit it"
        )
    return f"{said}; log evidence {cause.log_evidence:.2f}, of a fall {cause.log_fall:.2f}"


_WAITS_FOR: Final = {
    "labels": "for want of labels",
    "inconclusive": "for a verdict: not yet proved to be no worse",
    "no_data": "for labels: none of late",
    "harmful": "since it is harmful",
    "probation": "while it is on probation",
    "metric": "while a metric of it looks worse",
    "cooldown": "for the time after a rollback or a drift to be over",
    "window": "for the window in which changes may be made",
    "approval": "for a person's approval",
}


def _ramp_headline(cause: RampCause) -> str:
    what = {
        "moved": f"{cause.arm} ramps to {cause.share:.4g}",
        "waiting": f"the ramp of {cause.arm} waits {_WAITS_FOR.get(cause.how, cause.how)}",
        "aborted": f"the ramp of {cause.arm} ended at its limit",
        "done": f"the ramp of {cause.arm} is done",
    }
    return what[cause.step]


def _ramp(cause: RampCause) -> str:
    labels = f"{cause.labels:,} labels of at least {cause.min_labels:,}, {cause.verdict}"
    step = f"step {cause.at} of {cause.of}"
    if cause.step == "moved":
        by = "at its limit" if cause.how == "limit" else "through its gate"
        return f"{cause.arm} ramps to {cause.share:.4g} of the traffic, {step}, {by}: {labels}"
    if cause.step == "waiting":
        return f"{_ramp_headline(cause)}, at {cause.share:.4g} of the traffic, {step}: {labels}"
    if cause.step == "aborted":
        waited = _WAITS_FOR.get(cause.how, cause.how)
        return f"{_ramp_headline(cause)}, {step}: it waited {waited}; {labels}"
    return f"{cause.arm} became champion, its ramp is done: {labels}"


def _proposal_headline(cause: ProposalCause) -> str:
    if cause.step == "lapsed":
        return f"nobody answered whether {cause.arm} is to be champion"
    return f"{cause.arm} is proposed as champion, and waits for a person"


def _proposal(cause: ProposalCause) -> str:
    if cause.step == "lapsed":
        return f"{_proposal_headline(cause)}; it is proposed anew while it is proved"
    on_pairs = _on_pairs(cause)
    means = (
        f"mean {cause.mean} of {cause.labels:,} labels, {cause.compared_with} "
        f"{cause.reference_mean} of {cause.reference_labels:,}"
    )
    known = [on_pairs] if on_pairs else []
    known += [means] if cause.labels else []
    return (
        f"{_proposal_headline(cause)}: {'; '.join(known)}; log evidence "
        f"{cause.log_evidence:.2f} reached {cause.log_threshold:.2f}; leverframe approve, or reject"
    )


def proposal_text(proposal: Mapping[str, Any]) -> str:
    """Say that a promotion waits, from what a heartbeat tells of it.

    >>> proposal_text({"arm": "b", "since_ms": 0, "until_ms": 86400000})
    'b is proposed as champion until 1970-01-02 00:00 UTC: approve or reject it'
    """
    until = datetime.fromtimestamp(proposal["until_ms"] / 1000, tz=UTC)
    when = f"{until:%Y-%m-%d %H:%M} UTC"
    return f"{proposal['arm']} is proposed as champion until {when}: approve or reject it"


def ramp_text(ramp: Mapping[str, Any]) -> str:
    """Say where a ramp stands, from what a heartbeat tells of it.

    >>> ramp_text({"arm": "b", "steps": [1, 10, 100], "at": 2, "share": 0.1, "labels": 40,
    ...            "min_labels": 500, "waits_for": "labels", "paused": False})
    'ramp of b: 1, [10], 100 %, 40 of 500 labels; it waits for want of labels'
    """
    plan = ", ".join(
        f"[{step:g}]" if at == ramp["at"] else f"{step:g}"
        for at, step in enumerate(ramp["steps"], 1)
    )
    said = f"ramp of {ramp['arm']}: {plan} %, {ramp['labels']:,} of {ramp['min_labels']:,} labels"
    if ramp["paused"]:
        return f"{said}; paused"
    waits_for = ramp["waits_for"]
    return f"{said}; it waits {_WAITS_FOR.get(waits_for, waits_for)}" if waits_for else said


def _no_good_arm(cause: NoGoodArm) -> str:
    by = f" ({cause.metric})" if cause.metric else ""
    return (
        f"every arm is harmful ({cause.arms} of them); {cause.arm} is the least bad and keeps the "
        f"traffic; log evidence against it{by} {cause.log_evidence:.2f} reached "
        f"{cause.log_threshold:.2f}: bring in a good arm, or release one"
    )


def _collapse(cause: ExplorationCollapse) -> str:
    return (
        f"only {cause.arm} of {cause.arms} arms gets labels any more: {cause.labels:,} of it, and "
        f"none of another for {cause.silent_s:g} s; give the others a share (floor), or look why "
        "their labels do not come"
    )


def _outage(cause: LabelOutage) -> str:
    return (
        f"{cause.predictions:,} predictions, and no label for {cause.silent_s:g} s, where 99 of "
        f"100 took {cause.usual_s:g} s so far: look at what writes the labels"
    )


def _not_effective(cause: RollbackNotEffective) -> str:
    said = (
        f"{cause.arm} was rolled back by message {cause.since.epoch}.{cause.since.seq} and still "
        f"answers: {cause.served_after_grace:,} predictions after {cause.grace_s:g} s of grace"
    )
    if cause.replicas_behind:
        said += f"; replicas that have not applied it: {', '.join(cause.replicas_behind)}"
    if isinstance(cause.served_by, dict):
        named = sorted(cause.served_by.items(), key=lambda one: -one[1])
        said += f"; served by {', '.join(f'{name} ({count:,})' for name, count in named)}"
    return said


def _not_followed(cause: WeightsNotFollowed) -> str:
    where = f" at replica {cause.replica}" if isinstance(cause.replica, str) else ""
    return (
        f"arms do not answer in the published shares{where}: {cause.arm} has weight "
        f"{cause.weight:.3f} and answered {cause.served:,} of {cause.served_of:,}; log evidence "
        f"{cause.log_evidence:.2f} reached {cause.log_threshold:.2f}"
    )


def _mismatch(cause: PartitionerMismatch) -> str:
    if isinstance(cause.orphan_label_share, float):
        return (
            f"predictions and labels do not meet: {cause.orphan_labels:,} labels "
            f"({cause.orphan_label_share:.1%}) stayed alone, and one side lies in other partitions "
            f"than its keys'; {cause.cure}"
        )
    return (
        f"predictions and labels do not meet: {cause.orphan_predictions:,} predictions "
        f"({cause.orphan_share:.1%}) and {cause.orphan_labels:,} labels stayed alone; {cause.cure}"
    )


_HEADLINES: Final[Mapping[type[Any], Callable[[Any], str]]] = {
    GuardCause: lambda cause: f"{cause.arm} was rolled back: harmful",
    BudgetCause: lambda cause: f"weights moved into the budget of {cause.metric}",
    MetricCause: lambda cause: f"{cause.arm} was rolled back by its {cause.metric}: harmful",
    BetterCause: lambda cause: f"{cause.arm} became champion: better than {cause.compared_with}",
    PolicyCause: lambda _: "the policy moved weights",
    ProbationCause: lambda cause: (
        f"{cause.arm} is {'' if cause.step == 'begun' else 'no longer '}on probation"
    ),
    RampCause: _ramp_headline,
    ProposalCause: _proposal_headline,
    DriftCause: lambda cause: f"the rewards of {cause.arm} changed; action {cause.action}",
    RegisteredCause: lambda cause: f"{cause.arm} was registered",
    CommandCause: _command,
    HeartbeatCause: lambda _: "heartbeat",
    RollbackNotEffective: lambda _: ALARM_HEADLINES["rollback_not_effective"],
    WeightsNotFollowed: lambda _: ALARM_HEADLINES["weights_not_followed"],
    PartitionerMismatch: lambda _: ALARM_HEADLINES["suspected_partitioner_mismatch"],
    NoGoodArm: lambda _: ALARM_HEADLINES["no_good_arm"],
    ExplorationCollapse: lambda _: ALARM_HEADLINES["exploration_collapse"],
    LabelOutage: lambda _: ALARM_HEADLINES["label_outage"],
    UnknownCause: _unknown,
}
_SENTENCES: Final[Mapping[type[Any], Callable[[Any], str]]] = {
    GuardCause: _guard,
    MetricCause: metric_sentence,
    BudgetCause: budget_sentence,
    BetterCause: _better,
    PolicyCause: lambda _: "the policy moved weights on the labels counted so far",
    ProbationCause: _probation,
    RampCause: _ramp,
    ProposalCause: _proposal,
    DriftCause: _drift,
    RegisteredCause: lambda cause: f"{cause.arm} was registered ({cause.how})",
    CommandCause: lambda cause: f"command {_command(cause)}",
    RollbackNotEffective: _not_effective,
    WeightsNotFollowed: _not_followed,
    PartitionerMismatch: _mismatch,
    NoGoodArm: _no_good_arm,
    ExplorationCollapse: _collapse,
    LabelOutage: _outage,
}
