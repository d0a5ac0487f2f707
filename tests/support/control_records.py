"""Control messages as a job writes them."""

from typing import Any

from leverframe.schemas.causes import (
    CommandCause,
    DriftCause,
    GuardCause,
    RollbackNotEffective,
    Version,
    wire_form,
)
from leverframe.schemas.control import ControlKind, ControlMessage

T0 = 1_700_000_000_000

GUARD = wire_form(
    GuardCause(
        arm="b",
        verdict="harmful",
        test="champion",
        labels=40,
        mean=0.1,
        compared_with="a",
        reference_labels=200,
        reference_mean=0.6,
        margin=0.02,
        alpha=0.01,
        log_evidence=5.1,
        log_threshold=4.6,
        traffic_to="a",
    )
)
HOLD = wire_form(
    DriftCause(arm="b", detectors=["adwin"], action="hold", mean_before=0.6, mean_after=0.4)
)
NOT_EFFECTIVE = wire_form(
    RollbackNotEffective(
        arm="b", served_after_grace=120, grace_s=5.0, since=Version(2, 7), replicas_behind=["web-1"]
    )
)


def commanded(action: str, actor: str, arm: str) -> dict[str, Any]:
    return wire_form(CommandCause(command_id="c", action=action, actor=actor, arm=arm))


def message(
    seq: int,
    at_ms: int,
    *,
    kind: ControlKind = "heartbeat",
    epoch: int = 1,
    weights: dict[str, float] | None = None,
    cause: dict[str, Any] | None = None,
    route: str = "r",
) -> ControlMessage:
    return ControlMessage(
        route=route,
        epoch=epoch,
        seq=seq,
        kind=kind,
        weights=weights or {"a": 0.75, "b": 0.25},
        champion="a",
        safe_weights={"a": 1.0},
        ttl_ms=15_000,
        issued_at_ms=at_ms,
        salt="s",
        cause=cause or {"why": "heartbeat"},
        state_digest="0" * 16,
    )


def arms(**means: float | None) -> dict[str, Any]:
    return {
        name: {
            "phase": "candidate",
            "verdict": "healthy",
            "labels": 10 if mean is not None else 0,
            "mean": mean,
            "bounds": [0.1, 0.9],
        }
        for name, mean in means.items()
    }
