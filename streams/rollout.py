"""The rollout of arms: registration, nursery, promotion, rollback, and the operators' commands.

Authority: automation may take traffic off an arm or follow the policy within its limits; a person's
pin or freeze wins until lifted; a rollback is never held back by either.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from policies.guard.evidence import restart
from policies.registry import make_policy
from schemas.command import Command
from schemas.control import ControlKind
from schemas.errors import PolicyError, RecordError
from streams.routes import Route
from streams.state import ArmState, RouteState

__all__ = ["apply_command", "promote", "register_arm", "roll_back"]

REMEMBERED_COMMANDS: Final = 256
REMEMBERED_CHAMPIONS: Final = 16


def register_arm(
    state: RouteState, name: str, route: Route, now_ms: int, validation_score: float | None = None
) -> ArmState:
    """Add an arm; the first one becomes the champion, later ones start in the nursery.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        The new arm.
    route : Route
        Its settings.
    now_ms : int
        Stream time.
    validation_score : float, optional
        On held-out data.

    Returns
    -------
    ArmState
        Of the new arm.

    Raises
    ------
    RecordError
        ``limit`` when the route has as many arms as it may.
    """
    if len(state.arms) >= route.settings.max_arms:
        raise RecordError("limit", f"the route has {len(state.arms)} arms, no more are accepted")
    first = not state.eligible
    arm = ArmState(
        registration=len(state.arms) + 1,
        registered_at_ms=now_ms,
        validation_score=validation_score,
        phase="candidate" if first or not route.settings.nursery_labels else "nursery",
        nursery_until=route.settings.nursery_labels,
    )
    state.arms[name] = arm
    if first:
        state.champion = name
        state.target = {name: 1.0}
    return arm


def _new_epoch(state: RouteState, champion: str | None) -> None:
    """Every change of champion makes all evidence start afresh against the new one."""
    state.epoch += 1
    if champion == state.champion:
        return
    if state.champion is not None and state.arms[state.champion].is_eligible:
        state.last_known_good.append(state.champion)
        del state.last_known_good[:-REMEMBERED_CHAMPIONS]
    state.champion = champion


def promote(state: RouteState, name: str) -> None:
    """Make an arm the champion; the old one stays as a candidate and as last known good.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        An eligible arm.
    """
    state.arms[name].phase = "candidate"
    _new_epoch(state, name)


def fallback_of(state: RouteState, leaving: str) -> str | None:
    """Return the arm that takes the traffic of one that leaves.

    Parameters
    ----------
    state : RouteState
        Any.
    leaving : str
        The arm that leaves.

    Returns
    -------
    str or None
        The champion; if that is the one leaving the last known good, then the candidate with most
        labels; None if no other arm is eligible.
    """
    others = [name for name in state.eligible if name != leaving]
    if not others:
        return None
    if state.champion in others:
        return state.champion
    known_good = [name for name in state.last_known_good if name in others]
    if known_good:
        return known_good[-1]
    return max(others, key=lambda name: (state.arms[name].count, -state.arms[name].registration))


def roll_back(state: RouteState, name: str, phase: str = "quarantined") -> str:
    """Take all traffic off an arm and return it to the last known good, at once.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    name : str
        The arm.
    phase : {"quarantined", "retired"}
        What becomes of it.

    Returns
    -------
    str
        The arm that takes over its traffic.

    Raises
    ------
    RecordError
        ``refused`` when no other arm is eligible.
    """
    heir = fallback_of(state, name)
    if heir is None:
        raise RecordError("refused", f"without {name!r} the route would have no eligible arm")
    state.arms[name].phase = "retired" if phase == "retired" else "quarantined"
    state.last_known_good = [arm for arm in state.last_known_good if arm != name]
    if state.pinned == name:
        state.pinned = None
    if state.champion == name:
        state.champion = None
        _new_epoch(state, heir)
        state.last_known_good = [arm for arm in state.last_known_good if arm != heir]
    else:
        state.epoch += 1
    freed = state.weights.get(name, 0.0)
    weights = {arm: share for arm, share in state.weights.items() if arm != name}
    weights[heir] = weights.get(heir, 0.0) + freed
    state.target = weights
    return heir


# -- commands ----------------------------------------------------------------------------------


def _known(state: RouteState, command: Command) -> tuple[str, ArmState]:
    name = command.arm
    if name is None:
        raise RecordError("refused", f"{command.action} needs an arm")
    arm = state.arms.get(name)
    if arm is None:
        known = ", ".join(state.arms) or "none"
        raise RecordError("unknown_arm", f"arm {name!r} is not registered; known arms: {known}")
    return name, arm


def _eligible(state: RouteState, command: Command) -> str:
    name, arm = _known(state, command)
    if not arm.is_eligible:
        raise RecordError("refused", f"arm {name!r} is {arm.phase}; release it first")
    return name


def _register(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    name = command.arm
    if name is None:
        raise RecordError("refused", "register_arm needs an arm")
    if name in state.arms:
        raise RecordError("refused", f"arm {name!r} is already registered")
    score = (command.params or {}).get("validation_score")
    if score is not None and not isinstance(score, (int, float)):
        raise RecordError("invalid", f"params.validation_score must be a number, got {score!r:.80}")
    register_arm(state, name, route, now_ms, None if score is None else float(score))
    return "routing"


def _retire(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del route, now_ms
    name, arm = _known(state, command)
    if arm.phase == "retired":
        raise RecordError("refused", f"arm {name!r} is already retired")
    if arm.phase == "quarantined":
        arm.phase = "retired"
    else:
        roll_back(state, name, "retired")
    return "routing"


def _set_policy(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del route, now_ms
    params = command.params or {}
    name, policy_params = params.get("policy"), params.get("params", {})
    if not isinstance(name, str) or not isinstance(policy_params, dict):
        raise RecordError("invalid", "params.policy must be a name, params.params an object")
    try:
        make_policy(name, policy_params)
    except PolicyError as error:
        raise RecordError("refused", str(error)) from error
    state.policy = (name, policy_params)
    return "routing"


def _promote(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del route, now_ms
    name = _eligible(state, command)
    if name == state.champion:
        raise RecordError("refused", f"arm {name!r} is the champion already")
    promote(state, name)
    return "promotion"


def _rollback(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del route, now_ms
    roll_back(state, _eligible(state, command))
    return "rollback"


def _release(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del now_ms
    name, arm = _known(state, command)
    if arm.phase != "quarantined":
        raise RecordError(
            "refused", f"arm {name!r} is {arm.phase}, only a quarantined arm is released"
        )
    arm.phase = "nursery"
    arm.nursery_until = arm.count + route.settings.nursery_labels
    restart(arm.evidence, "")
    return "routing"


def _pin(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del route, now_ms
    state.pinned = _eligible(state, command)
    return "routing"


def _unpin(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del command, route, now_ms
    if state.pinned is None:
        raise RecordError("refused", "the route is not pinned")
    state.pinned = None
    return "routing"


def _freeze(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del command, route, now_ms
    if state.frozen:
        raise RecordError("refused", "the route is frozen already")
    state.frozen = True
    return "routing"


def _unfreeze(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del command, route, now_ms
    if not state.frozen:
        raise RecordError("refused", "the route is not frozen")
    state.frozen = False
    return "routing"


_Transition = Callable[[RouteState, Command, Route, int], ControlKind]

COMMANDS: Final[Mapping[str, _Transition]] = {
    "register_arm": _register,
    "retire_arm": _retire,
    "set_policy": _set_policy,
    "promote": _promote,
    "rollback": _rollback,
    "release": _release,
    "pin": _pin,
    "unpin": _unpin,
    "freeze": _freeze,
    "unfreeze": _unfreeze,
}


def apply_command(
    state: RouteState, command: Command, route: Route, now_ms: int
) -> tuple[ControlKind, dict[str, Any]] | None:
    """Do what a command asks.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    command : Command
        The operator's intent.
    route : Route
        Settings of its route.
    now_ms : int
        Stream time.

    Returns
    -------
    tuple of str and dict, or None
        Kind and cause of the control message that answers it; None for a command seen before.

    Raises
    ------
    RecordError
        ``refused``, ``unknown_arm``, ``invalid`` or ``limit``; the state is then unchanged.
    """
    if command.command_id in state.commands:
        return None
    kind = COMMANDS[command.action](state, command, route, now_ms)
    cause = {
        "why": "command",
        "command_id": command.command_id,
        "action": command.action,
        "actor": command.actor,
    }
    if command.arm is not None:
        cause["arm"] = command.arm
    return kind, cause


def remember_command(state: RouteState, command_id: str) -> None:
    """Note that a command was answered by the newest control message.

    Parameters
    ----------
    state : RouteState
        Changed in place.
    command_id : str
        Id of the command.
    """
    state.commands[command_id] = state.seq
    while len(state.commands) > REMEMBERED_COMMANDS:
        del state.commands[next(iter(state.commands))]
