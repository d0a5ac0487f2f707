"""Silence is found by deadline, and by no look at routes that were heard."""

from hypothesis import given
from hypothesis import strategies as st

from leverframe.serving.silence import Deadlines

NOTES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.booleans()), max_size=40)


@given(NOTES)
def test_deadlines_give_each_route_once_after_its_earliest(
    notes: list[tuple[str, int, bool]],
) -> None:
    """As a plain mapping of route to earliest deadline would."""
    deadlines, plain = Deadlines(), dict[str, float]()
    for route, at, is_question in notes:
        if is_question:
            due = sorted(name for name, deadline in plain.items() if deadline < at)
            assert sorted(deadlines.due(at)) == due
            plain = {name: deadline for name, deadline in plain.items() if name not in due}
        else:
            deadlines.note(route, at)
            plain[route] = min(at, plain.get(route, at))
