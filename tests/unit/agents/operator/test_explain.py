"""From control messages to the sentences that explain them."""

from typing import Any

from leverframe.agents.operator.explain import explain, sentences
from leverframe.schemas.control import ControlKind, ControlMessage


def message(seq: int, weights: dict[str, float], cause: dict[str, Any], **more: Any) -> Any:
    kind: ControlKind = more.pop("kind", "routing")
    return ControlMessage(
        route="r",
        epoch=more.pop("epoch", 1),
        seq=seq,
        kind=kind,
        weights=weights,
        champion="a",
        quarantined=[],
        safe_weights={"a": 1.0},
        ttl_ms=1000,
        issued_at_ms=1_700_000_000_000 + seq * 1000,
        salt="s",
        cause=cause,
        state_digest="d",
    )


ARMS = {
    "c": {
        "phase": "quarantined", "mean": 0.412, "labels": 1200, "bounds": [0.38, 0.44],
        "verdict": "harmful",
    }
}  # fmt: skip
GUARD = {
    "why": "guard", "arm": "c", "verdict": "harmful", "test": "champion", "margin": 0.02,
    "traffic_to": "a", "mean": 0.41, "labels": 700, "compared_with": "a",
    "reference_mean": 0.82, "reference_labels": 900, "log_evidence": 8.1, "log_threshold": 7.6,
    "alpha": 0.001, "arms": ARMS, "record": {"partition": 1, "offset": 77},
}  # fmt: skip
HISTORY = [
    message(2, {"a": 0.7, "c": 0.3}, {"why": "policy"}),
    message(3, {"a": 0.7, "c": 0.3}, {"why": "heartbeat"}, kind="heartbeat"),
    message(4, {"a": 1.0}, GUARD, kind="rollback", epoch=2),
]


def test_a_rollback_is_told_with_its_evidence_and_how_to_recompute_it() -> None:
    """Every figure of the cause is there; heartbeats are no change."""
    [change] = explain(HISTORY[::-1], None, 1)
    assert change.moved == {"a": (0.7, 1.0), "c": (0.3, None)}
    assert list(sentences(change)) == [
        (
            "2023-11-14 22:13:24 UTC, rollback 2.4: c was rolled back: mean 0.41 of 700 labels "
            "since it began to look bad, a 0.82 of 900 meanwhile; log evidence 8.10 reached 7.60 "
            "(alpha 0.001); its traffic went to a"
        ),
        "  a rose from 0.700 to 1.000: mean 0.820 of 900 labels meanwhile",
        (
            "  c left, it had 0.300: mean 0.410 of 700 labels since it began to look bad; "
            "mean 0.412 of 1,200 in its life, between 0.380 and 0.440, harmful"
        ),
        (
            "  after the record at partition 1, offset 77; to recompute: leverframe replay r "
            "--until-reward 77"
        ),
    ]


def test_only_what_was_said_up_to_a_time_counts() -> None:
    """The oldest message that is left says that there is nothing to compare with."""
    [change] = explain(HISTORY, 1_700_000_003_999, 5)
    assert change.is_first
    assert list(sentences(change))[1].startswith("  weights since then: a 0.700, c 0.300 (no")
    assert explain(HISTORY, 1_700_000_000_000, 5) == []


def evidence(cause: dict[str, Any], arm: str) -> str:
    """What the line of an arm says after its weights."""
    before, after = message(2, {"a": 0.5, "c": 0.5}, {"why": "policy"}), {"a": 0.8, "c": 0.2}
    [change] = explain([before, message(3, after, cause)], None, 1)
    [line] = [line for line in sentences(change) if line.startswith(f"  {arm} ")]
    return line.partition(": ")[2]


def test_a_step_of_the_policy_is_told_by_the_newest_labels_too() -> None:
    """The mean of a long life would hide why the weights moved."""
    recent = {"labels": 240, "mean": 0.2, "since_ms": 1_700_000_000_000}
    arms = {
        "c": ARMS["c"] | {"recent": recent},
        "a": ARMS["c"] | {"recent": recent | {"labels": 1200}},
    }
    told = "mean 0.200 of 240 newest labels (since 22:13:20); mean 0.412 of 1,200 in its life, "
    assert evidence({"why": "policy", "arms": arms}, "c").startswith(told)
    assert evidence({"why": "policy", "arms": arms}, "a").startswith("mean 0.412 of 1,200 labels, ")


def test_a_drift_is_told_by_the_mean_since_it() -> None:
    """Its cause has no other evidence of the arm."""
    drift = {
        "why": "drift", "arm": "c", "detectors": ["adwin"], "action": "rollback",
        "mean_before": 0.8, "mean_after": 0.3, "traffic_to": "a",
    }  # fmt: skip
    assert evidence(drift, "c") == "mean 0.300 since the change, 0.800 before"
    assert evidence(drift, "a") == ""
