"""What is to be done, from what is there: in the registry, and in ``control``. Pure.

The registry's own tags and aliases and the route's newest message are all that is known, so a plan
made after a pause, or by another process, is the plan that was missed.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from leverframe.agents.mlflow.registered import Model, Version, arm_mark, left_at
from leverframe.agents.mlflow.settings import MlflowRoute
from leverframe.serving.routing import InForce

__all__ = [
    "Finding",
    "Known",
    "Mark",
    "MoveAlias",
    "Plan",
    "Register",
    "SettleAlias",
    "Step",
    "known_of",
    "plan",
]

_LONGEST_ARM: Final = 128
_RESERVED: Final = "\0"

Word: TypeAlias = Literal[
    "alias_moved",
    "arm_name_invalid",
    "arm_name_taken",
    "champion_unknown",
    "model_unknown",
    "refused",
    "registered_before",
    "route_silent",
    "version_failed",
    "version_pending",
]


class Known(Struct, frozen=True):
    """What ``control`` says of a route.

    Attributes
    ----------
    arms : frozenset of str
        That may be chosen, or are in quarantine; retired ones are none any more.
    champion : str or None
        The arm that traffic returns to.
    is_silent : bool
        Whether nothing was heard for longer than the message lives: no worker answers now.
    """

    arms: frozenset[str] = frozenset()
    champion: str | None = None
    is_silent: bool = False


class Register(Struct, frozen=True, tag=True):
    """Have the job register a version as an arm, then mark the version."""

    version: int
    arm: str


class Mark(Struct, frozen=True, tag=True):
    """Mark a version whose arm is there already."""

    version: int
    arm: str


class MoveAlias(Struct, frozen=True, tag=True):
    """Move the alias; ``origin`` is 0 where no version has it."""

    origin: int
    version: int
    arm: str


class SettleAlias(Struct, frozen=True, tag=True):
    """Note that the alias is where it belongs."""

    version: int


Step: TypeAlias = Register | Mark | MoveAlias | SettleAlias


class Finding(Struct, frozen=True):
    """Something that is left as it is.

    Attributes
    ----------
    word : str
        Which kind.
    text : str
        What, and what to do.
    """

    word: Word
    text: str


class Plan(Struct, frozen=True):
    """Steps, in their order, and what none of them mends."""

    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]


def known_of(state: InForce | None) -> Known | None:
    """Return what a subscriber's state says of a route; None where it was never heard of."""
    if state is None:
        return None
    message = state.message
    arms = frozenset(message.weights).union(message.quarantined)
    return Known(arms, message.champion, is_silent=state.is_fallback)


def plan(
    route: str,
    wanted: MlflowRoute,
    model: Model,
    known: Known | None,
    *,
    take_alias: bool = False,
) -> Plan:
    """Return what has to be done so that registry and route agree.

    Parameters
    ----------
    route : str
        Its name.
    wanted : MlflowRoute
        Its settings.
    model : Model
        What the registry has.
    known : Known or None
        What ``control`` says of the route.
    take_alias : bool
        Move the alias also where somebody else set it.

    Returns
    -------
    Plan
        Empty where they agree.

    Examples
    --------
    >>> fraud = Model("fraud", {}, {}, (Version(1, "READY", {}),))
    >>> plan("checkout", MlflowRoute(model="fraud"), fraud, None).steps
    (Register(version=1, arm='fraud-1'),)
    """
    arms = {version.number: _arm_of(wanted, model, version) for version in model.versions}
    told = [
        *_alias(route, wanted, model, known, arms, take_alias=take_alias),
        *_versions(route, wanted, model, known, arms),
    ]
    return Plan(
        tuple(one for one in told if not isinstance(one, Finding)),
        tuple(one for one in told if isinstance(one, Finding)),
    )


def _arm_of(wanted: MlflowRoute, model: Model, version: Version) -> str:
    """The arm of a version: as it was marked, whatever the template says since then."""
    told = version.tags.get(arm_mark(wanted.alias))
    return told or wanted.arm.format(model=model.name, version=version.number)


def _versions(
    route: str, wanted: MlflowRoute, model: Model, known: Known | None, arms: Mapping[int, str]
) -> Iterator[Step | Finding]:
    there = Known() if known is None else known
    first = wanted.first_version or _first(wanted, model)
    for version in model.versions:
        arm, mark = arms[version.number], version.tags.get(arm_mark(wanted.alias))
        if mark is not None:
            if not there.arms:
                yield _registered_before(route, wanted, model, version, arm)
            continue
        if arm in there.arms:
            yield _adopted(model, version, arm, arms)
        elif version.number >= first and wanted.tags.items() <= version.tags.items():
            yield _registered(route, model, version, there, arms)


def _first(wanted: MlflowRoute, model: Model) -> int:
    """The first version to look at: a registry that is years old is not registered as a whole."""
    alias = model.aliases.get(wanted.alias)
    if alias is not None:
        return alias
    mark = arm_mark(wanted.alias)
    marks = [version.number for version in model.versions if mark in version.tags]
    return max(marks or [version.number for version in model.versions], default=0)


def _adopted(model: Model, version: Version, arm: str, arms: Mapping[int, str]) -> Step | Finding:
    """Somebody registered it by hand, or we did and ended before the mark."""
    return _taken(model, version, arm, arms) or Mark(version.number, arm)


def _registered(
    route: str, model: Model, version: Version, there: Known, arms: Mapping[int, str]
) -> Step | Finding:
    arm = arms[version.number]
    where = f"version {version.number} of {model.name!r}"
    if version.status == "FAILED_REGISTRATION":
        text = f"{where} failed to register in MLflow: delete it there, or log it again"
        return Finding("version_failed", text)
    if not version.is_ready:
        return Finding("version_pending", f"{where} is not ready in MLflow yet; it is waited for")
    if len(arm) > _LONGEST_ARM or arm.startswith(_RESERVED):
        text = (
            f"{where} would become arm {arm!r:.80}, which has {len(arm)} characters, "
            f"{_LONGEST_ARM} at most: give [mlflow.routes] arm a shorter template"
        )
        return Finding("arm_name_invalid", text)
    if there.is_silent:
        text = f"{where} waits: nothing is heard of route {route!r}; start: leverframe worker"
        return Finding("route_silent", text)
    return _taken(model, version, arm, arms) or Register(version.number, arm)


def _taken(model: Model, version: Version, arm: str, arms: Mapping[int, str]) -> Finding | None:
    others = [number for number, name in arms.items() if name == arm and number != version.number]
    if not others:
        return None
    return Finding(
        "arm_name_taken",
        f"version {version.number} of {model.name!r} would become arm {arm!r}, as version "
        f"{others[0]} did: give [mlflow.routes] arm another template",
    )


def _registered_before(
    route: str, wanted: MlflowRoute, model: Model, version: Version, arm: str
) -> Finding:
    return Finding(
        "registered_before",
        f"version {version.number} of {model.name!r} became arm {arm!r} once, and route {route!r} "
        f"has no arms: it began anew. To register it again delete its tag "
        f"{arm_mark(wanted.alias)!r} in MLflow",
    )


def _alias(
    route: str,
    wanted: MlflowRoute,
    model: Model,
    known: Known | None,
    arms: Mapping[int, str],
    *,
    take_alias: bool,
) -> Iterator[Step | Finding]:
    """Let the alias follow the champion; what somebody else set is left to them."""
    if known is None or known.champion is None:
        return
    target = _version_of(known.champion, wanted, model, arms)
    if target is None:
        yield Finding(
            "champion_unknown",
            f"the champion of route {route!r}, arm {known.champion!r}, is no version of "
            f"{model.name!r}: the alias {wanted.alias!r} stays where it is",
        )
        return
    at = model.aliases.get(wanted.alias, 0)
    left = left_at(model, wanted.alias)
    if at == target:
        if left != frozenset({target}):
            yield SettleAlias(target)
    elif take_alias or at in (left if left is not None else {0}):
        yield MoveAlias(at, target, known.champion)
    else:
        yield _moved(route, wanted, model, at, target, left)


def _version_of(
    champion: str, wanted: MlflowRoute, model: Model, arms: Mapping[int, str]
) -> int | None:
    """The champion's version: the one that is marked, before one that would have its name."""
    mark = arm_mark(wanted.alias)
    named = [version for version in model.versions if arms[version.number] == champion]
    named.sort(key=lambda version: mark not in version.tags)
    return named[0].number if named else None


def _moved(
    route: str, wanted: MlflowRoute, model: Model, at: int, target: int, left: frozenset[int] | None
) -> Finding:
    where = f"at version {at}" if at else "gone"
    before = "we never moved it" if not left else f"we left it at version {max(left)}"
    return Finding(
        "alias_moved",
        f"the alias {wanted.alias!r} of {model.name!r} is {where}, and {before}: somebody else did "
        f"that, so it does not follow the champion of route {route!r}, version {target}. To let it "
        f"follow: leverframe mlflow --apply --take-alias {route}",
    )
