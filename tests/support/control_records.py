"""Control messages as a job writes them."""

from typing import Any

from leverframe.schemas.control import ControlKind, ControlMessage

T0 = 1_700_000_000_000


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
