"""The operators' commands: what each asks to become of a route, and why it may be refused."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from leverframe.policies.guard.capital import MICRO_NAT
from leverframe.policies.registry import make_policy
from leverframe.schemas.causes import CommandCause
from leverframe.schemas.command import Command
from leverframe.schemas.control import ControlKind
from leverframe.schemas.errors import PolicyError, RecordError
from leverframe.streams.envelope import check_name
from leverframe.streams.learning.approval import approval_moves, proposal_summary, rejection_moves
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.change import (
    Change,
    Freeze,
    Move,
    Pin,
    Promote,
    RegisterArm,
    Release,
    Retire,
    RollBack,
    SetPolicy,
)
from leverframe.streams.learning.heirs import fallback_of, is_worse
from leverframe.streams.learning.ramping import newcomer_ramp, ramp_moves
from leverframe.streams.learning.rollout import check_move
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.warm_start import known_beforehand
from leverframe.streams.routes.route import Route

__all__ = ["COMMANDS", "propose_command", "remember_command"]

REMEMBERED_COMMANDS: Final = 256


def _known(state: RouteState, command: Command) -> tuple[str, ArmState]:
    name = command.arm
    if name is None:
        raise RecordError("refused", f"{command.action} needs an arm")
    arm = state.arms.get(name)
    if arm is None:
        known = ", ".join(state.arms) or "none"
        raise RecordError("unknown_arm", f"arm {name!r} is not registered; known arms: {known}")
    return name, arm


def _register(state: RouteState, command: Command) -> Move:
    name = command.arm
    if name is None:
        raise RecordError("refused", "register_arm needs an arm")
    if name in state.arms:
        raise RecordError("refused", f"arm {name!r} is already registered")
    params = command.params or {}
    in_shadow = params.get("shadow", False)
    if not isinstance(in_shadow, bool):
        raise RecordError("invalid", f"params.shadow must be true or false, got {in_shadow!r:.80}")
    known = known_beforehand(params)
    check_name(name, "arm")
    return RegisterArm(name, known.score, in_shadow, known.rows, known.prior)


def _set_policy(_: RouteState, command: Command) -> Move:
    params = command.params or {}
    name, policy_params = params.get("policy"), params.get("params", {})
    if not isinstance(name, str) or not isinstance(policy_params, dict):
        raise RecordError("invalid", "params.policy must be a name, params.params an object")
    try:
        make_policy(name, policy_params)
        msgspec.msgpack.encode(policy_params)  # it goes into the ledger
    except (PolicyError, OverflowError) as error:
        raise RecordError("refused", str(error)) from error
    return SetPolicy(name, policy_params)


def _set_weights(state: RouteState, command: Command) -> Move:
    weights = (command.params or {}).get("weights")
    if not isinstance(weights, dict) or not weights:
        raise RecordError("invalid", "params.weights must be an object of arms and their shares")
    unknown = [name for name in weights if name not in state.arms]
    if unknown:
        known = ", ".join(state.arms)
        raise RecordError("unknown_arm", f"no arm {unknown[0]!r:.80} is registered; known: {known}")
    off = [name for name, share in weights.items() if share and not state.arms[name].is_eligible]
    if off:
        phase = state.arms[off[0]].phase
        raise RecordError("refused", f"arm {off[0]!r} is {phase} and may have no traffic")
    try:
        make_policy("static", {"weights": weights})
    except PolicyError as error:
        raise RecordError("refused", str(error)) from error
    return SetPolicy("static", {"weights": {name: float(one) for name, one in weights.items()}})


def _pin(state: RouteState, command: Command) -> Move:
    name, arm = _known(state, command)
    if not arm.is_eligible:
        raise RecordError("refused", f"arm {name!r} is {arm.phase}; release it first")
    return Pin(name)


def _unpin(state: RouteState, _: Command) -> Move:
    if state.pinned is None:
        raise RecordError("refused", "the route is not pinned")
    return Pin(None)


def _rollback(state: RouteState, command: Command) -> Move:
    name, arm = _known(state, command)
    heir = fallback_of(state, name)
    is_sure = (command.params or {}).get("yes") is True
    if heir is not None and not is_sure and arm.is_eligible and is_worse(state.arms[heir], arm):
        raise RecordError(
            "refused",
            f"the traffic of {name!r} would go to {heir!r}, which is worse by the evidence "
            f"({state.arms[heir].against_micro * MICRO_NAT:.2f} nats against it); to roll back all "
            f"the same: leverframe rollback {state.route} {name} --yes",
        )
    return RollBack(name)


def _freeze(state: RouteState, _: Command) -> Move:
    if state.frozen:
        raise RecordError("refused", "the route is frozen already")
    return Freeze(is_frozen=True)


def _unfreeze(state: RouteState, _: Command) -> Move:
    if not state.frozen:
        raise RecordError("refused", "the route is not frozen")
    return Freeze(is_frozen=False)


COMMANDS: Final[Mapping[str, Callable[[RouteState, Command], Move]]] = {
    "register_arm": _register,
    "retire_arm": lambda state, command: Retire(_known(state, command)[0]),
    "set_policy": _set_policy,
    "set_weights": _set_weights,
    "promote": lambda state, command: Promote(_known(state, command)[0], command.actor),
    "rollback": _rollback,
    "release": lambda state, command: Release(_known(state, command)[0]),
    "pin": _pin,
    "unpin": _unpin,
    "freeze": _freeze,
    "unfreeze": _unfreeze,
}
"""What each action asks for; raises ``refused``, ``unknown_arm`` or ``invalid`` (RecordError)."""

_KINDS: Final[Mapping[str, ControlKind]] = {"rollback": "rollback"}


def propose_command(
    state: RouteState, command: Command, route: Route, now_ms: int
) -> Change | None:
    """Return what a command asks for, or None for one that was seen before.

    A command that makes no sense in the route's state is refused by a ``RecordError``: ``refused``,
    ``unknown_arm``, ``invalid`` or ``limit``.
    """
    if command.command_id in state.commands:
        return None
    if command.action == "configure" and not state.arms:
        return None  # nobody is told of a route that has no arms
    if not state.arms and command.action != "register_arm":
        raise RecordError("refused", f"route {command.route!r} has no arms yet; register one first")
    moves = _moves_of(state, command, route, now_ms)
    for move in moves:
        check_move(state, route, move)
    is_promotion = any(isinstance(move, Promote) for move in moves)
    kind = "promotion" if is_promotion else _KINDS.get(command.action, "routing")
    return Change(
        kind=kind,
        cause=CommandCause(
            command_id=command.command_id,
            action=command.action,
            actor=command.actor,
            arm=command.arm or _arm_of(moves) or UNSET,
            do=_said(command),
            replicas=sorted(state.loop.replicas) or UNSET,
            proposal=_answered(state, command) or UNSET,
        ),
        moves=moves,
        reweighs=kind != "rollback",
        newcomer=_newcomer(moves[0]) if moves else None,
    )


def _moves_of(state: RouteState, command: Command, route: Route, now_ms: int) -> tuple[Move, ...]:
    if command.action == "configure":
        return ()
    if command.action == "ramp":
        return ramp_moves(state, command, route, now_ms)
    if command.action == "approve":
        return approval_moves(state, command, route)
    if command.action == "reject":
        return rejection_moves(state, command, route, now_ms)
    move = COMMANDS[command.action](state, command)
    if isinstance(move, RegisterArm) and not move.in_shadow:
        return move, *newcomer_ramp(state, route, move.arm, now_ms)
    return (move,)


def _arm_of(moves: tuple[Move, ...]) -> str | None:
    """Whom a command without an arm promotes."""
    return next((move.arm for move in moves if isinstance(move, Promote)), None)


def _answered(state: RouteState, command: Command) -> dict[str, Any] | None:
    """What an ``approve`` or ``reject`` command answers: it ends with it."""
    return proposal_summary(state) if command.action in {"approve", "reject"} else None


def _said(command: Command) -> str | UnsetType:
    """What a ``ramp`` command does to the ramp."""
    told = (command.params or {}).get("do", "begin")
    return told if command.action == "ramp" and isinstance(told, str) else UNSET


def _newcomer(move: Move) -> str | None:
    """The arm whose share begins now, if there is one."""
    if isinstance(move, Release) or (isinstance(move, RegisterArm) and not move.in_shadow):
        return move.arm
    return None


def remember_command(state: RouteState, command: Command, *, is_signed: bool) -> None:
    """Note that a command was answered by the newest control message."""
    state.commands[command.command_id] = state.seq
    if is_signed:
        state.newest_command_ms = max(state.newest_command_ms, command.issued_at_ms)
    while len(state.commands) > REMEMBERED_COMMANDS:
        del state.commands[next(iter(state.commands))]
