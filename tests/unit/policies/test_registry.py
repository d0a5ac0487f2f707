"""Policies from settings: round trip, and errors that name what is wrong."""

import dataclasses
from importlib.metadata import EntryPoint
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from leverframe.policies import factory
from leverframe.policies.base import Policy
from leverframe.policies.detectors import FAMILY as DETECTORS
from leverframe.policies.epsilon_greedy import EpsilonGreedy
from leverframe.policies.registry import FAMILY as POLICY_FAMILY
from leverframe.policies.registry import POLICIES, make_policy
from leverframe.policies.rewards import FAMILY as REWARDS
from leverframe.policies.statistics import ArmStats
from leverframe.policies.thompson import Thompson
from leverframe.schemas.errors import PolicyError


@pytest.mark.parametrize("name", POLICIES)
def test_policy_params_survive_the_codec(name: str) -> None:
    """Through msgpack and JSON, parameters make the same policy again."""
    policy = make_policy(name, {})
    params = {f.name: getattr(policy, f.name) for f in dataclasses.fields(policy)}  # type: ignore[arg-type]
    for codec in (msgspec.json, msgspec.msgpack):
        again = codec.decode(codec.encode(params))
        assert make_policy(name, again) == policy


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("epsilon_greedy", {"epsilon": 1.5}, "epsilon must lie in"),
        ("epsilon_greedy", {"epsilon": float("nan")}, "epsilon must lie in"),
        ("epsilon_greedy", {"epsilon": "0.1"}, "epsilon: Expected `float`"),
        ("epsilon_greedy", {"epsilon": True}, "epsilon: Expected `float`"),
        ("epsilon_greedy", {"epsilom": 0.1}, "unknown parameter 'epsilom'; known: epsilon"),
        ("newest", {"name": "x"}, "unknown parameter 'name'; known: none"),
        ("validation", {"margin": -0.1}, "margin must be"),
        ("ab_test", {"labels_per_arm": 1}, "labels_per_arm must be at least 2"),
        ("ab_test", {"labels_per_arm": 2.5}, "labels_per_arm: Expected `int`"),
        ("ab_test", {"significance": 0.0}, "significance must lie in"),
        ("ucb", {"constant": 0.0}, "constant must be positive"),
        ("ucb", {"spread": 0}, "spread must be at least 1"),
        ("kl_ucb", {"c": -1.0}, "c must be finite"),
        ("kl_ucb", {"spread": 0}, "spread must be"),
        ("bayes_ucb", {"alpha": 0.0}, "alpha must be positive"),
        ("bayes_ucb", {"spread": -1}, "spread must be"),
        ("sliding_window_ucb", {"window_ms": 0}, "window_ms must be"),
        ("sliding_window_ucb", {"xi": float("inf")}, "xi must be"),
        ("sliding_window_ucb", {"spread": 0}, "spread must be"),
        ("thompson", {"model": "gamma"}, "model: Invalid enum value 'gamma'"),
        ("thompson", {"beta": -1.0}, "beta must be positive"),
        ("discounted_thompson", {"half_life_ms": 0}, "half_life_ms must be"),
        ("discounted_thompson", {"alpha": float("nan")}, "alpha must be"),
        ("exp3", {"gamma": 0.0}, "gamma must lie in"),
        ("exp3", {"eta": 0.0}, "eta must be positive"),
        ("top_two_thompson", {"beta": 0.0}, "beta must lie in"),
        ("top_two_thompson", {"delta": 1.0}, "delta must lie in"),
    ],
)
def test_make_policy_names_the_wrong_parameter(
    name: str, params: dict[str, object], message: str
) -> None:
    """Whatever is wrong, the operator reads which policy, which parameter, and why."""
    with pytest.raises(PolicyError) as caught:
        make_policy(name, params)
    assert str(caught.value).startswith(f"{name}: ")
    assert message in str(caught.value)


def test_thompson_names_an_unknown_model_when_built_in_python() -> None:
    """The type checker is not the only guard."""
    with pytest.raises(PolicyError, match="model must be 'beta' or 'gaussian'"):
        Thompson(model="gamma")  # type: ignore[arg-type]


def test_make_policy_lists_the_known_names() -> None:
    """An unknown name is answered with all that would do."""
    with pytest.raises(PolicyError, match=r"'thomson', did you mean 'thompson'\? known: ab_test, "):
        make_policy("thomson", {})


def test_make_policy_takes_whole_numbers_for_floats() -> None:
    """TOML's ``epsilon = 1`` means 1.0."""
    assert make_policy("epsilon_greedy", {"epsilon": 1}) == EpsilonGreedy(epsilon=1.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """A third party's policy."""

    name: ClassVar[str] = "last"
    share: float = 1.0

    def propensities(self, arms: ArmStats, now_ms: int) -> NDArray[np.float64]:
        """All to the last arm."""
        del now_ms
        weights = np.zeros(arms.n_arms)
        weights[-1] = 1.0
        return weights


def offer(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(
        factory, "entry_points", lambda group: [p for p in points if p.group == group]
    )


def test_make_policy_loads_a_third_party_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """By entry point, with the same checks of its parameters."""
    value = f"{__name__}:Last"
    point = EntryPoint("last", value, POLICY_FAMILY.group)
    monkeypatch.setattr(EntryPoint, "load", lambda _: Last)
    offer(monkeypatch, point)
    policy = make_policy("last", {"share": 0.5})
    assert policy == Last(share=0.5)
    assert isinstance(policy, Policy)
    with pytest.raises(PolicyError, match="last: unknown parameter 'chair'; known: share"):
        make_policy("last", {"chair": 0.5})


def test_make_policy_keeps_built_in_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point cannot take over a built-in name; it is not even looked for."""
    offer(monkeypatch, EntryPoint("thompson", "nowhere:Nothing", POLICY_FAMILY.group))
    assert make_policy("thompson", {}) == Thompson()


def test_make_policy_refuses_an_entry_point_that_is_no_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message says where it leads."""
    offer(monkeypatch, EntryPoint("odd", "math:sqrt", POLICY_FAMILY.group))
    with pytest.raises(PolicyError, match="odd: entry point math:sqrt is no dataclass"):
        make_policy("odd", {})


@pytest.mark.parametrize("family", [POLICY_FAMILY, REWARDS, DETECTORS], ids=lambda one: one.what)
def test_families_answer_alike(family: factory.Family) -> None:
    """An unknown name, an unknown parameter: the same words for all three, and the page."""
    name = min(family.kinds)
    (unknown,) = factory.faults_of(family, name[:-1], {})
    assert unknown.startswith(
        f"unknown {family.what} {name[:-1]!r}, did you mean {name!r}? known: "
    )
    assert unknown.endswith(f"({family.page})")
    (wrong,) = factory.faults_of(family, name, {"nonsense": 1})
    assert wrong.startswith(f"{name}: unknown parameter 'nonsense'; known: ")
    assert wrong.endswith(f"({family.page})")
    with pytest.raises(PolicyError, match="unknown parameter 'nonsense'"):
        factory.build(family, name, {"nonsense": 1})


def test_all_faults_of_the_parameters_are_named() -> None:
    """Unknown ones beside wrong types, else every one that lies outside its range."""
    assert factory.faults_of(REWARDS, "label", {"low": "x", "high": True, "top": 1}) == [
        "label: unknown parameter 'top'; known: low, high (docs/reward-functions.md)",
        "label: low: Expected `float`, got `str`",
        "label: high: Expected `float`, got `bool`",
    ]
    assert factory.faults_of(REWARDS, "label", {"low": 5, "high": 3}) != []
    assert factory.faults_of(REWARDS, "label", {"low": 5, "high": 10}) == []
    assert factory.faults_of(DETECTORS, "page_hinkley", {"delta": -1, "memory": 1}) == [
        "page_hinkley: delta must not be negative",
        "page_hinkley: memory must lie in 64 to 4096",
    ]
    assert factory.faults_of(REWARDS, "cost_matrix", {}) == [
        "cost_matrix: missing parameter `costs`"
    ]
