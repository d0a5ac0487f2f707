"""A day of control messages of many routes, as a job would have written them: made up, seeded."""

from collections.abc import Iterator

import numpy as np

from leverframe.schemas.control import ControlMessage

__all__ = ["day"]

_MINUTE_MS = 60_000
_EVENTS = ("guard", "better", "command", "drift")


def day(route: str, arms: int, begin_ms: int, end_ms: int, seed: int) -> Iterator[ControlMessage]:
    """Yield a message a minute: weights and means that wander, now and then an event.

    In order, all of epoch 0, below what a job that starts now will say.
    """
    rng = np.random.default_rng([seed, sum(route.encode())])
    names = [f"arm-{at}" for at in range(arms)]
    level = rng.normal(0, 0.7, arms)
    mean = rng.uniform(0.35, 0.65, arms)
    labels = np.zeros(arms)
    last = {"why": "policy"}
    for seq, at_ms in enumerate(range(begin_ms, end_ms, _MINUTE_MS), 1):
        level += rng.normal(0, 0.06, arms)
        mean = np.clip(mean + rng.normal(0, 0.002, arms), 0.05, 0.95)
        labels += rng.poisson(20, arms)
        share = np.exp(level - level.max())
        share /= share.sum()
        width = np.minimum(0.4, 2.4 / np.sqrt(labels + 1))
        weights = {name: round(float(one), 6) for name, one in zip(names, share, strict=True)}
        known = {
            name: {
                "phase": "candidate",
                "verdict": "healthy",
                "labels": int(labels[k]),
                "mean": round(float(mean[k]), 6),
                "bounds": [
                    round(max(0.0, float(mean[k] - width[k])), 6),
                    round(min(1.0, float(mean[k] + width[k])), 6),
                ],
            }
            for k, name in enumerate(names)
        }
        is_event = rng.random() < 0.01
        cause: dict[str, object] = {"why": "heartbeat", "last_change": last, "arms": known}
        if is_event:
            last = _event(rng, names)
            cause = {**last, "arms": known}
        yield ControlMessage(
            route=route,
            epoch=0,
            seq=seq,
            kind=_kind(last) if is_event else "heartbeat",
            weights=weights,
            champion=names[int(share.argmax())],
            safe_weights={names[0]: 1.0},
            ttl_ms=180_000,
            issued_at_ms=at_ms,
            salt="0" * 16,
            cause=cause,
            state_digest="0" * 16,
        )


def _event(rng: np.random.Generator, names: list[str]) -> dict[str, object]:
    arm, other = (str(name) for name in rng.choice(names, 2, replace=False))
    why = _EVENTS[rng.integers(len(_EVENTS))]
    compared = {
        "arm": arm,
        "mean": 0.41,
        "labels": 310,
        "compared_with": other,
        "reference_mean": 0.55,
        "reference_labels": 2200,
        "log_evidence": 5.3,
        "log_threshold": 4.61,
        "alpha": 0.01,
    }
    if why == "command":
        return {"why": why, "action": "freeze", "actor": "ada"}
    if why == "drift":
        return {
            "why": why,
            "arm": arm,
            "detectors": ["adwin"],
            "action": "hold",
            "mean_before": 0.55,
            "mean_after": 0.47,
        }
    return {"why": why, **compared}


def _kind(cause: dict[str, object]) -> str:
    return {"guard": "rollback", "better": "promotion"}.get(str(cause["why"]), "routing")
