"""From what is known of a route to what the page shows of it. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from leverframe.agents.operator.in_measured import measured_texts
from leverframe.agents.operator.in_shadow import in_shadow
from leverframe.agents.operator.narrate import proposal_text, ramp_text
from leverframe.agents.web.attention import attention
from leverframe.agents.web.history import RouteHistory

__all__ = ["detail", "summary"]

_ARM_KEYS: Final = (
    "phase",
    "verdict",
    "labels",
    "mean",
    "bounds",
    "recent",
    "label_delay_ms",
    "join",
    "against",
    "heir",
)


def summary(
    known: RouteHistory, now_ms: int, lost: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return a route's line of the overview; also what a live update brings.

    Weights and arms in force, level of attention with its reasons. ``lost`` counts the records, by
    topic, that were removed before this worker read them.
    """
    newest = known.newest
    found = attention(known, now_ms, lost)
    places = {arm: at for at, arm in enumerate(known.arms)}
    arms = known.newest_with_arms.cause.get("arms", {})
    return {
        "route": newest.route,
        "level": found[0].level.name if found else "fine",
        "reasons": [{"level": one.level.name, "text": one.text} for one in found],
        "kind": newest.kind,
        "epoch": newest.epoch,
        "seq": newest.seq,
        "heard_ms": known.heard_ms,
        "champion": newest.champion,
        "weights": newest.weights,
        # Of each arm among all that were seen, retired ones included: its colour on every page.
        "places": [places[arm] for arm in newest.weights],
        "quarantined": newest.quarantined,
        "labels": sum(one.get("labels", 0) for one in arms.values()),
        "coverage": _beat(known).get("joins", {}).get("coverage"),
    }


def detail(
    known: RouteHistory, now_ms: int, lost: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return all that is in force on a route.

    The summary, and by arm the evidence; how the join fares, who follows, what is held.
    """
    newest, cause = known.newest, _beat(known)
    arms = known.newest_with_arms.cause.get("arms", {})
    return summary(known, now_ms, lost) | {
        "arms": {
            arm: {"weight": weight}
            | {key: arms[arm][key] for key in _ARM_KEYS if key in arms.get(arm, {})}
            | ({"metrics": told} if (told := measured_texts(arms.get(arm, {}))) else {})
            | ({"in_shadow": said} if (said := in_shadow(arms.get(arm, {}))) else {})
            for arm, weight in newest.weights.items()
        },
        "safe_weights": newest.safe_weights,
        "ttl_ms": newest.ttl_ms,
        "joins": cause.get("joins", {}),
        "following": cause.get("following", {}),
        "last_known_good": cause.get("last_known_good", []),
        "shadow": cause.get("shadow", {}),
        "pinned": cause.get("pinned"),
        "frozen": bool(cause.get("frozen")),
        "probation": cause.get("probation"),
        "proposal": None
        if not (proposal := cause.get("proposal"))
        else {"arm": proposal["arm"], "text": proposal_text(proposal)},
        "ramp": None
        if not (ramp := cause.get("ramp"))
        else {"text": ramp_text(ramp), "is_held": bool(ramp["waits_for"] or ramp["paused"])},
    }


def _beat(known: RouteHistory) -> dict[str, Any]:
    """What the newest heartbeat tells; nothing before there is one."""
    return {} if known.beat is None else known.beat.cause
