"""What came of the join before an arm was registered is not forgotten."""

from leverframe.schemas.traffic import Traffic
from leverframe.streams.health.join import JoinHealth


def told(arm: str, labels: int) -> Traffic:
    counts = {"prediction": labels, "labelled": labels}
    return Traffic(route="r", served=[], until_ms=1, joins=counts, arms={arm: counts})


def test_counts_of_an_arm_that_is_not_registered_yet_are_kept() -> None:
    """News of the join may be here before the first reward, which registers the arm."""
    health = JoinHealth()
    health.hear(told("a", 450), (), 1_000)
    health.hear(told("a", 450), ("a",), 1_000)
    assert health.arm_summary("a")["labelled"] == 900
    assert health.summary()["labelled"] == 900


def test_requests_beyond_the_quota_wait_for_no_label() -> None:
    """Coverage speaks of those that count; when the newest was left out is kept."""
    health = JoinHealth()
    counts = {"prediction": 100, "over_quota": 50, "labelled": 40}
    health.hear(
        Traffic(route="r", served=[], until_ms=7, joins=counts, arms={"a": counts}), ("a",), 1_000
    )
    assert health.summary()["coverage"] == health.arm_summary("a")["coverage"] == 0.8
    assert health.summary()["over_quota_ms"] == 7
    health.hear(told("a", 450), ("a",), 1_000)
    assert health.summary()["over_quota_ms"] == 7
    assert "over_quota_ms" not in JoinHealth().summary()


def test_names_that_no_arm_has_take_no_room() -> None:
    """A producer that invents arms fills a few places, and the totals."""
    health = JoinHealth()
    for number in range(200):
        health.hear(told(f"x{number}", 1), ("a",), 1_000)
    health.hear(told("a", 5), ("a",), 1_000)
    assert health.arm_summary("a")["labelled"] == 5
    assert len(health.arms) < 40
    assert health.summary()["labelled"] == 205
