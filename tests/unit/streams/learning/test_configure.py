"""Settings by command: they hold from the record on, in the state, and a wrong one changes none."""

from typing import Any

from records import (
    MAX_VALUE_BYTES,
    T0,
    Record,
    command_record,
    learning_runs,
    prediction_record,
    reward_record,
    routes,
    runs,
)

from leverframe.streams.attribution.step import attribute
from leverframe.streams.learning.outcome import LearningOutcome
from leverframe.streams.learning.restart import carry_over
from leverframe.streams.learning.state import RouteState, decode_route, encode_route, state_digest
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.applied import (
    RoutesInForce,
    encode_applied,
    stored_form,
    written_out,
)
from leverframe.streams.routes.route import Routes
from leverframe.streams.routes.settings import NamedParams, RouteSettings


def configure(settings: Any, at: int = 0, **fields: Any) -> Record:
    told = written_out(settings) if isinstance(settings, RouteSettings) else settings
    return command_record("configure", None, at, params={"settings": told}, **fields)


def folded(records: list[Record], known: Routes, cut: int = 10_000) -> LearningOutcome:
    """Fold in portions of ``cut`` records."""
    states: dict[str, RouteState] = {}
    every = LearningOutcome()
    for begin in range(0, len(records), cut):
        portion = learning_runs(records[begin : begin + cut])
        states = {name: decode_route(encode_route(one)) for name, one in states.items()}
        outcome = learn(portion, states, known, max_value_bytes=MAX_VALUE_BYTES)
        states |= outcome.states
        every.control += outcome.control
        every.applied += outcome.applied
        every.dead_letters += outcome.dead_letters
    every.states = states
    return every


THOMPSON = RouteSettings(policy=NamedParams(name="thompson"), ttl_s=77.0)
LABELS = [reward_record(arm, float(at % 3 > 0), at * 50) for at in range(60) for arm in "ab"]


def test_what_was_applied_holds_from_its_record_on() -> None:
    """Messages before it bear the file's, those after it the new time to live; it says who."""
    records = [*LABELS[:60], configure(THOMPSON, 3_000, actor="ada"), *LABELS[60:]]
    outcome = folded(records, routes(policy="ucb", ttl_s=30.0))
    assert not outcome.dead_letters
    (told,) = outcome.applied
    assert (told.route, told.actor) == ("r", "ada")
    assert stored_form(told) == encode_applied(THOMPSON) == outcome.states["r"].applied
    at = next(
        place
        for place, message in enumerate(outcome.control)
        if message.cause.get("action") == "configure"
    )
    assert {message.ttl_ms for message in outcome.control[:at]} == {30_000}
    assert {message.ttl_ms for message in outcome.control[at:]} == {77_000}
    assert len(outcome.control) > at + 1


def test_the_cut_changes_nothing() -> None:
    """One by one, in sevens or at once: the same digest, which knows what was applied."""
    records = [*LABELS[:60], configure(THOMPSON, 3_000), *LABELS[60:]]
    known = routes(policy="ucb")
    digests = {state_digest(folded(records, known, cut).states["r"]) for cut in (1, 7, 10_000)}
    assert len(digests) == 1
    without = state_digest(folded([*LABELS], known).states["r"])
    assert without not in digests


def test_a_wrong_one_changes_nothing() -> None:
    """Unknown keys, wrong parameters, no object: refused, with the key that is wrong."""
    known = routes(policy="ucb")
    right = written_out(THOMPSON)
    wrong: list[tuple[Any, str]] = [
        ({**right, "windw_s": 3.0}, "windw_s"),
        ({**right, "policy": {"name": "tomson", "params": {}}}, "tomson"),
        ({**right, "default_after_s": 10.0, "window_s": 5.0}, "default_after_s"),
        ("thompson", "Expected `object`"),
    ]
    for settings, said in wrong:
        outcome = folded([*LABELS, configure(settings, 6_000)], known)
        (letter,) = outcome.dead_letters
        assert letter.reason == "refused"
        assert said in letter.detail
        assert not outcome.applied
        untouched = folded([*LABELS], known)
        assert state_digest(outcome.states["r"]) == state_digest(untouched.states["r"])
    (letter,) = folded([*LABELS, command_record("configure", params={})], known).dead_letters
    assert letter.reason == "invalid"


def test_a_new_route_begins_by_it() -> None:
    """Before its first arm, and where the file knows no such route; nothing to go back to then."""
    records = [
        configure(THOMPSON, 0, route="new"),
        reward_record("a", 1.0, 10, route="new"),
        reward_record("b", 1.0, 20, route="new"),
        configure(None, 30, route="new"),
        reward_record("a", 1.0, 40, route="unheard"),
    ]
    outcome = folded(records, routes())
    assert set(outcome.states["new"].arms) == {"a", "b"}
    assert {message.ttl_ms for message in outcome.control} == {77_000}
    assert [letter.reason for letter in outcome.dead_letters] == ["refused", "unknown_route"]
    assert "nothing to go back to" in outcome.dead_letters[0].detail


def test_it_takes_a_policy_of_a_command_back_and_itself_is_taken_back() -> None:
    """What was applied names the policy; null gives the route back to the file."""
    known = routes(policy="ucb", ttl_s=30.0)
    weights = command_record("set_weights", None, 6_000, params={"weights": {"a": 1.0}})
    commanded = folded([*LABELS, weights], known).states["r"]
    assert commanded.policy is not None
    again = folded([*LABELS, weights, configure(THOMPSON, 7_000)], known).states["r"]
    assert again.policy is None
    back = folded([*LABELS, configure(THOMPSON, 6_000), configure(None, 7_000)], known)
    assert back.states["r"].applied == b""
    assert [one.settings is None for one in back.applied] == [False, True]
    assert back.control[-1].ttl_ms == 30_000


def test_the_same_command_counts_once_and_a_restart_keeps_what_was_applied() -> None:
    """As any command; and starting anew gives up labels, not settings."""
    one = configure(THOMPSON, 6_000, command_id="once")
    other = configure(RouteSettings(ttl_s=5.0), 7_000, command_id="once")
    outcome = folded([*LABELS, one, other], routes())
    assert len(outcome.applied) == 1
    anew = carry_over(outcome.states["r"], None, T0)
    assert anew is not None
    assert anew.applied == encode_applied(THOMPSON)


def test_the_join_goes_by_what_it_follows() -> None:
    """A route that was applied is joined, a longer window holds, and both end when taken back."""
    in_force = RoutesInForce(routes(window_s=60.0))

    def reasons() -> list[str]:
        records = [prediction_record("q1", route="new")]
        outcome = attribute(
            runs(records, "predictions"),
            {},
            in_force,
            max_value_bytes=MAX_VALUE_BYTES,
            label_topic="ground-truth",
        )
        return [letter.reason for letter in outcome.dead_letters]

    assert reasons() == ["unknown_route"]
    in_force.follow("new", encode_applied(RouteSettings(window_s=600.0)))
    assert reasons() == []
    assert in_force.longest_window_ms == 600_000
    in_force.follow("new", b"")
    assert reasons() == ["unknown_route"]
    assert in_force.longest_window_ms == 60_000
