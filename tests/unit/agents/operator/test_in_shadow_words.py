"""What command line, page and metrics say of an arm that answers in shadow."""

import re
from typing import Any

import pytest
from control_records import T0, message
from rich.console import Console

from leverframe.agents.cli.route_table import routes_table
from leverframe.agents.operator.explain import explain, sentences
from leverframe.agents.operator.in_shadow import in_shadow, shadow_lines
from leverframe.agents.web.history import History
from leverframe.agents.web.summary import detail
from leverframe.agents.worker.metrics import RouteCollector, metrics_page

PAIRS = {"labels": 1204, "mean": 0.9, "compared_with": "a", "pairs": 1204}
BETTER = PAIRS | {"difference": 0.012, "bounds": [0.004, 0.02]}
WORSE = PAIRS | {"difference": -0.012, "bounds": [-0.02, -0.004]}
KNOWN = {"verdict": "inconclusive", "labels": 1204, "mean": 0.9, "bounds": [0.87, 0.92]}


@pytest.mark.parametrize(
    ("phase", "told", "says"),
    [
        ("shadow", BETTER, "in shadow: 1,204 pairs, better by 0.012 (0.004 to 0.020)"),
        ("shadow", WORSE, "in shadow: 1,204 pairs, worse by 0.012 (0.004 to 0.020)"),
        ("candidate", WORSE, "beside a: 1,204 pairs, worse by 0.012 (0.004 to 0.020)"),
        ("shadow", BETTER | {"pairs": 1}, "in shadow: 1 pair, better by 0.012 (0.004 to 0.020)"),
        ("shadow", {"labels": 0, "mean": None}, "in shadow: no pairs yet"),
        ("shadow", {"labels": 7, "mean": 0.5}, "in shadow: 7 labels, mean 0.500, no pairs"),
        ("candidate", {"labels": 7, "mean": 0.5}, ""),
        (
            "candidate",
            {"labels": 7, "mean": 0.5, "apart": True},
            "in shadow: 7 labels, mean 0.500; counts nowhere, as labels depend on the answer",
        ),
        ("shadow", None, ""),
    ],
)
def test_an_arm_in_shadow_is_told_in_one_line(phase: str, told: Any, says: str) -> None:
    """Better or worse is a word; the interval is turned with it."""
    assert in_shadow({"phase": phase, "in_shadow": told}) == says
    assert shadow_lines({"b": {"phase": phase, "in_shadow": told}}) == (
        [f"b {says}"] if says else []
    )


def test_page_status_explain_and_metrics_tell_it() -> None:
    """A route with an arm in shadow is shown like any other, with one line more."""
    arms = {
        "a": KNOWN | {"phase": "champion"},
        "b": KNOWN | {"phase": "shadow", "in_shadow": BETTER},
        "c": KNOWN | {"phase": "shadow", "mean": None, "labels": 0, "verdict": "no_data"}
        | {"in_shadow": {"labels": 0, "mean": None}},
    }  # fmt: skip
    cause = {"why": "policy", "arms": arms}
    told = message(1, T0, kind="routing", weights={"a": 1.0, "b": 0.0, "c": 0.0}, cause=cause)
    history = History()
    history.note(told)
    shown = detail(history.routes["r"], T0)["arms"]
    line = "in shadow: 1,204 pairs, better by 0.012 (0.004 to 0.020)"
    assert (shown["b"]["in_shadow"], shown["b"]["phase"]) == (line, "shadow")
    assert "in_shadow" not in shown["a"]
    columns = history.routes["r"].columns(0)
    assert [values[-1] for values in columns["weight"]] == [1.0, 0.0, 0.0]
    [change] = explain([told], None, 1)
    assert f"  b {line}" in list(sentences(change))
    console = Console(width=200)
    with console.capture() as capture:
        console.print(routes_table({"r": told}, T0))
    assert re.search(r"b +0\.000 +1,204 +0\.9000 .* shadow +inconclusive", capture.get())
    page = metrics_page(RouteCollector(lambda: [told]))().decode()
    assert 'leverframe_arm_pair_difference{arm="b",route="r"} 0.012' in page
    assert 'leverframe_arm_pairs{arm="b",route="r"} 1204.0' in page
    assert 'leverframe_arm_labels_in_shadow{arm="c",route="r"} 0.0' in page
    assert 'leverframe_arm_pairs{arm="a"' not in page
