"""What is done to a registry and a route: each case by itself."""

from typing import Any

import pytest
from asking import control_message

from leverframe.agents.mlflow.planning import (
    Finding,
    Known,
    Mark,
    MoveAlias,
    Register,
    SettleAlias,
    known_of,
    plan,
)
from leverframe.agents.mlflow.registered import Model, Version, model_of, version_of
from leverframe.agents.mlflow.settings import MlflowRoute
from leverframe.serving.routing import InForce

ARM, ALIAS = "leverframe.champion.arm", "leverframe.champion"


def version(number: int, status: str = "READY", **tags: str) -> Version:
    return Version(number, status, tags)


def marked(number: int) -> Version:
    return Version(number, "READY", {ARM: f"fraud-{number}"})


def fraud(*versions: Version, at: int = 0, left: str | None = None, name: str = "fraud") -> Model:
    tags = {} if left is None else {ALIAS: left}
    return Model(name, {"champion": at} if at else {}, tags, versions)


def known(*numbers: int, champion: int | None = None, is_silent: bool = False) -> Known:
    arms = [f"fraud-{number}" for number in numbers]
    first = (champion or numbers[0]) if numbers else None
    return Known(frozenset(arms), f"fraud-{first}" if first else None, is_silent)


def planned(model: Model, there: Known | None, **wanted: Any) -> list[Any]:
    take_alias = wanted.pop("take_alias", False)
    settings = MlflowRoute(model=model.name, **wanted)
    found = plan("checkout", settings, model, there, take_alias=take_alias)
    return [*found.steps, *(finding.word for finding in found.findings)]


V1, V2, V3 = version(1), version(2), version(3)
M1, M2 = marked(1), marked(2)
FAILED, PENDING = version(2, "FAILED_REGISTRATION"), version(2, "PENDING_REGISTRATION")
ALIKE = Version(1, "READY", {ARM: "fraud-2"})
NEXT = [Register(2, "fraud-2"), Register(3, "fraud-3")]


@pytest.mark.parametrize(
    ("model", "there", "expected"),
    [
        (fraud(), None, []),
        # Of a registry that is years old the newest begins; or the one that the alias names.
        (fraud(V1, V2, V3), None, [Register(3, "fraud-3")]),
        (fraud(V1, V2, V3, at=2), None, NEXT),
        # New ones since the last that we registered, also several after a pause.
        (fraud(M1, V2, V3, at=1, left="1"), known(1), NEXT),
        # It is there: by hand, or we ended before the mark.
        (fraud(M1, V2, at=1, left="1"), known(1, 2), [Mark(2, "fraud-2")]),
        # It was retired: never again.
        (fraud(M1, M2, at=1, left="1"), known(1), []),
        # Everything agrees.
        (fraud(M1, M2, at=2, left="2"), known(1, 2, champion=2), []),
        # The alias follows: at first, by promotion, by rollback.
        (fraud(M1), known(1), [MoveAlias(0, 1, "fraud-1")]),
        (fraud(M1, M2, at=1, left="1"), known(1, 2, champion=2), [MoveAlias(1, 2, "fraud-2")]),
        (fraud(M1, M2, at=2, left="2"), known(1, 2, champion=1), [MoveAlias(2, 1, "fraud-1")]),
        # We ended in the middle of moving it, on either side; then it moves on.
        (fraud(M1, M2, at=1, left="1 2"), known(1, 2, champion=2), [MoveAlias(1, 2, "fraud-2")]),
        (fraud(M1, M2, at=2, left="1 2"), known(1, 2, champion=2), [SettleAlias(2)]),
        (fraud(M1, left="0 1"), known(1), [MoveAlias(0, 1, "fraud-1")]),
        # Set by hand to the champion before we came.
        (fraud(M1, at=1), known(1), [SettleAlias(1)]),
        # Somebody else moved it, took it away, or had it before we came.
        (fraud(M1, M2, at=1, left="2"), known(1, 2, champion=2), ["alias_moved"]),
        (fraud(M1, left="1"), known(1), ["alias_moved"]),
        (fraud(M1, M2, at=1), known(1, 2, champion=2), ["alias_moved"]),
        (fraud(M1, M2, at=1, left="garbage"), known(1, 2, champion=2), ["alias_moved"]),
        # The champion is none of the model's.
        (fraud(M1, at=1, left="1"), known(1, 7, champion=7), ["champion_unknown"]),
        # Names what it cannot register.
        (fraud(M1, FAILED, at=1, left="1"), known(1), ["version_failed"]),
        (fraud(M1, PENDING, at=1, left="1"), known(1), ["version_pending"]),
        (fraud(M1, V2, at=1, left="1"), known(1, is_silent=True), ["route_silent"]),
        (fraud(V1, name="f" * 128), None, ["arm_name_invalid"]),
        (fraud(ALIKE, V2, at=1, left="1"), known(2), ["arm_name_taken"]),
        # The route began anew: what was registered stays so until somebody says otherwise.
        (fraud(M1), None, ["registered_before"]),
    ],
)  # fmt: skip
def test_plans_what_is_missing(model: Model, there: Known | None, expected: list[Any]) -> None:
    """What is there decides: a plan needs no memory of its own."""
    assert planned(model, there) == expected


def test_the_alias_of_somebody_else_is_taken_only_when_told() -> None:
    """--take-alias moves what others set; the finding says how."""
    model = fraud(M1, M2, at=1, left="2")
    there = known(1, 2, champion=2)
    assert planned(model, there, take_alias=True) == [MoveAlias(1, 2, "fraud-2")]
    (told,) = plan("checkout", MlflowRoute(model="fraud"), model, there).findings
    assert isinstance(told, Finding)
    assert "is at version 1, and we left it at version 2: somebody else" in told.text
    assert "leverframe mlflow --apply --take-alias checkout" in told.text


def test_only_versions_with_the_tags_are_registered() -> None:
    """A pipeline's gate: one that passes later than its successor is registered all the same."""
    one, two = version(2), version(3, validation="passed")
    model, gate = fraud(M1, one, two, at=1, left="1"), {"validation": "passed"}
    assert planned(model, known(1), tags=gate) == [Register(3, "fraud-3")]
    later = fraud(M1, version(2, validation="passed"), marked(3), at=1, left="1")
    assert planned(later, known(1, 3), tags=gate) == [Register(2, "fraud-2")]


def test_another_template_leaves_what_was_registered() -> None:
    """Marks beat the template; another alias has marks of its own."""
    model = fraud(M1, V2, at=1, left="1")
    assert planned(model, known(1), arm="m{version}") == [Register(2, "m2")]
    assert planned(model, known(1), alias="b") == [
        MoveAlias(0, 1, "fraud-1"),
        Mark(1, "fraud-1"),
        Register(2, "fraud-2"),
    ]


def test_first_version_is_a_bound_of_its_own() -> None:
    """It stands before what the alias says."""
    assert planned(fraud(V1, V2, V3, at=3), None, first_version=2) == NEXT


def test_knows_of_a_route_what_control_says() -> None:
    """Arms in quarantine are there; silence is told."""
    assert known_of(None) is None
    message = control_message("checkout", {"a": 1.0, "b": 0.0}, quarantined=["c"])
    assert known_of(InForce(message, is_fallback=True)) == Known(
        frozenset({"a", "b", "c"}), "a", is_silent=True
    )


def test_reads_what_mlflow_answers() -> None:
    """Numbers come as text; empty lists are left out."""
    told = {
        "registered_model": {"name": "fraud", "aliases": [{"alias": "champion", "version": "2"}]}
    }
    numbers = [{"version": "10", "status": "READY"}, {"version": "9", "tags": [{"key": "k"}]}]
    model = model_of(told, map(version_of, numbers))
    assert (model.aliases, model.tags) == ({"champion": 2}, {})
    assert model.versions == (Version(9, "READY", {"k": ""}), Version(10, "READY", {}))
