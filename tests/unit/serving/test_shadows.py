"""Which requests all arms answer, within a budget; the serving side of shadow predictions."""

import json
from pathlib import Path
from typing import Any

import pytest

from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.serving import routing
from leverframe.serving.routing import RoutingTable
from leverframe.serving.shadows import Budget, is_drawn

VECTORS = Path(routing.__file__).parent / "vectors.json"


class Record:
    """As any client gives it."""

    topic = "control"
    headers: tuple[tuple[str, bytes], ...] = ()

    def __init__(self, message: ControlMessage) -> None:
        self.key, self.value = message.route.encode(), encode(message)


def table(budget: Budget | None = None, **fields: Any) -> tuple[RoutingTable, list[float]]:
    """A table that has heard one message, and the clock that it looks at."""
    now = [0.0]
    made = RoutingTable((), lambda: now[0], budget)
    said = {
        "weights": {"a": 0.5, "b": 0.5, "c": 0.0},
        "shadow_share": 0.4,
        "shadow_arms": ["a", "b", "c"],
        **fields,
    }
    message = ControlMessage(
        route="r", epoch=0, seq=1, kind="routing", champion="a", safe_weights={"a": 1.0},
        ttl_ms=1000, issued_at_ms=0, salt="00", cause={}, state_digest="", **said,
    )  # fmt: skip
    made.offer(Record(message))
    return made, now


def test_the_vectors_hold() -> None:
    """For implementations in other languages."""
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))["shadows"]["cases"]
    assert len(cases) >= 300
    for case in cases:
        drawn = is_drawn(case["shadow_share"], case["salt"], case["request_id"])
        assert drawn == case["is_drawn"]


def test_a_share_of_the_requests_is_answered_by_all_arms() -> None:
    """By request, not by arm; within 5 standard errors, and apart from the draw of the arm."""
    known, _ = table()
    count, drawn, served_a = 20_000, 0, 0
    for i in range(count):
        assigned = known.assign("r", f"q{i}")
        assert assigned is not None
        beside = known.shadows("r", f"q{i}")
        if beside:
            drawn += 1
            served_a += assigned.arm == "a"
            assert beside == [arm for arm in "abc" if arm != assigned.arm]
    assert abs(drawn / count - 0.4) < 5 * (0.4 * 0.6 / count) ** 0.5
    assert abs(served_a / drawn - 0.5) < 5 * (0.25 / drawn) ** 0.5


def test_who_serves_by_user_says_which_arm_answered() -> None:
    """The request id alone would draw another one."""
    known, _ = table(shadow_share=1.0)
    assert known.shadows("r", "q", "c") == ["a", "b"]


@pytest.mark.parametrize("fields", [{"shadow_share": 0.0}, {"shadow_arms": []}])
def test_nobody_is_asked_where_nothing_is_shadowed(fields: dict[str, Any]) -> None:
    """Nor on a route that was never heard of."""
    known, _ = table(**fields)
    assert not any(known.shadows("r", f"q{i}") for i in range(50))
    assert known.shadows("elsewhere", "q") == []


def test_nobody_is_asked_while_safe_weights_hold() -> None:
    """The job is silent: nobody would read the answers."""
    known, now = table(shadow_share=1.0)
    assert known.shadows("r", "q")
    now[0] = 1.1
    assert known.shadows("r", "q") == []


def test_the_budget_is_answers_a_second() -> None:
    """Whole requests, a second's worth at once; what is beyond is counted."""
    known, now = table(Budget(10.0), shadow_share=1.0)
    asked = [bool(known.shadows("r", f"q{i}", "c")) for i in range(8)]
    assert asked == [True] * 5 + [False] * 3
    assert known.skipped == 3
    now[0] = 0.5
    asked = [bool(known.shadows("r", f"p{i}", "c")) for i in range(4)]
    assert asked == [True, True, False, False]


def test_a_small_budget_still_asks_for_whole_requests() -> None:
    """Three answers at once, then nothing until they are paid off."""
    budget = Budget(1.0)
    assert budget.take(3, 0.0)
    assert not budget.take(3, 1.0)
    assert budget.take(3, 3.0)
    with pytest.raises(ValueError, match="above 0"):
        Budget(0.0)
