"""The metrics page against its documentation."""

import re
from collections import Counter
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from records import MAX_VALUE_BYTES, T0, learning_runs, reward_record, routes

from leverframe.agents.worker.metrics import RouteCollector, metrics_page
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.dead_letter import REASONS
from leverframe.schemas.traffic import NEARBY_ORPHAN_LABELS, Traffic
from leverframe.streams.health.join import JOIN_COUNTS
from leverframe.streams.learning.messages import heartbeat
from leverframe.streams.learning.step import learn

PAGE = Path(__file__).parents[4] / "docs" / "metrics.md"


def beat() -> ControlMessage:
    rule = routes()
    rewards = [reward_record(arm, 1.0, at) for at, arm in enumerate("ab")]
    states = learn(learning_runs(rewards), {}, rule, max_value_bytes=MAX_VALUE_BYTES).states
    state = states["r"]
    joins = {"prediction": 3, "labelled": 2, NEARBY_ORPHAN_LABELS: 1}
    seen = Traffic(route="r", served=[], until_ms=T0, joins=joins, arms={"a": {"prediction": 3}})
    state.join.hear(seen, state.arms, 1000)
    route = rule.get("r")
    assert route is not None
    return heartbeat(state, route, T0 + 5)


def test_every_metric_is_documented_and_every_documented_one_is_there() -> None:
    """Names on the page of the worker are those of docs/metrics.md."""
    text = metrics_page(RouteCollector(lambda: [beat()]))().decode()
    served = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    documented = set(re.findall(r"`(leverframe_\w+)`", PAGE.read_text(encoding="utf-8")))
    assert served == documented
    assert all(f"`{what}`" in PAGE.read_text(encoding="utf-8") for what in JOIN_COUNTS)


def test_metrics_say_what_the_heartbeat_says() -> None:
    """Values by labels; nothing is invented for an arm without counts."""
    text = metrics_page(RouteCollector(lambda: [beat()]))().decode()
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["leverframe_join_events_total", "a", "prediction", "r"] == 3
    assert samples["leverframe_nearby_orphan_labels_total", "r"] == 1
    assert samples["leverframe_arm_labels", "b", "r"] == 1
    assert samples["leverframe_join_coverage_ratio", "a", "r"] == 0
    assert samples["leverframe_arm_champion", "a", "r"] == 1
    assert ("leverframe_arm_champion", "b", "r") not in samples
    assert samples["leverframe_route_ttl_seconds", "r"] == beat().ttl_ms / 1000
    assert ("leverframe_join_coverage_ratio", "b", "r") not in samples


def test_dead_letters_are_counted_by_reason_of_all_agents() -> None:
    """Each reason has a series from the start, so that a first dead letter is an increase."""
    text = metrics_page(
        RouteCollector(list, [Counter(invalid=2), Counter(invalid=1, refused=1)])
    )().decode()
    counts = {
        sample.labels["reason"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "leverframe_dead_letters_total"
    }
    assert counts == dict.fromkeys(REASONS, 0) | {"invalid": 3, "refused": 1}


def test_metrics_escape_hostile_names() -> None:
    """A name with a quote and a line break stays within its label."""
    message = beat()
    hostile = 'x"} 1\nfake_metric 2'
    told = ControlMessage(
        **{name: getattr(message, name) for name in message.__struct_fields__ if name != "route"},
        route=hostile,
    )
    text = metrics_page(RouteCollector(lambda: [told]))().decode()
    names = {
        sample.labels.get("route")
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert names == {hostile}
    assert "\nfake_metric" not in text
