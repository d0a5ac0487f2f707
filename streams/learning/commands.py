"""The operators' commands: what each does to a route, and why it may be refused."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from leverframe.policies.registry import make_policy
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlKind
from leverframe.schemas.errors import PolicyError, RecordError
from leverframe.streams.envelope import check_name
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.rollout import promote, register_arm, release, retire, roll_back
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["COMMANDS", "apply_command", "remember_command"]

REMEMBERED_COMMANDS: Final = 256
LARGEST_SCORE: Final = 1e300


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
    if score is not None and not (isinstance(score, (int, float)) and abs(score) <= LARGEST_SCORE):
        raise RecordError("invalid", f"params.validation_score must be a number, got {score!r:.80}")
    check_name(name, "arm")
    register_arm(state, name, route, now_ms, None if score is None else float(score))
    return "routing"


def _retire(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del route, now_ms
    name, _ = _known(state, command)
    retire(state, name)
    return "routing"


def _set_policy(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del route, now_ms
    params = command.params or {}
    name, policy_params = params.get("policy"), params.get("params", {})
    if not isinstance(name, str) or not isinstance(policy_params, dict):
        raise RecordError("invalid", "params.policy must be a name, params.params an object")
    try:
        make_policy(name, policy_params)
        msgspec.msgpack.encode(policy_params)  # it goes into the ledger
    except (PolicyError, OverflowError) as error:
        raise RecordError("refused", str(error)) from error
    state.policy = (name, policy_params)
    return "routing"


def _promote(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del route
    name, _ = _known(state, command)
    promote(state, name, now_ms)
    return "promotion"


def _rollback(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    name, _ = _known(state, command)
    roll_back(state, name, route, now_ms)
    return "rollback"


def _release(state: RouteState, command: Command, route: Route, now_ms: int) -> ControlKind:
    del now_ms
    name, _ = _known(state, command)
    release(state, name, route)
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
    if not state.arms and command.action != "register_arm":
        raise RecordError("refused", f"route {command.route!r} has no arms yet; register one first")
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
