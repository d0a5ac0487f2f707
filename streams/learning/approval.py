"""Promotions that a person approves: proposed with evidence, approved, rejected, or lapsed."""

from typing import Any

from msgspec import structs

from leverframe.schemas.causes import BetterCause, ProposalCause
from leverframe.schemas.command import Command
from leverframe.schemas.errors import RecordError
from leverframe.streams.learning.change import Change, Move, Promote, Propose
from leverframe.streams.learning.measured import is_suspect
from leverframe.streams.learning.proposal import Proposal
from leverframe.streams.learning.ramping import done_moves
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.route import Route

__all__ = ["approval_moves", "lapse", "proposal_summary", "proposed", "rejection_moves"]


def proposed(state: RouteState, route: Route, better: BetterCause, now_ms: int) -> Change | None:
    """Propose a promotion that is proved; None while it waits, or since a person declined."""
    if state.proposal is not None or now_ms < state.declined.get(better.arm, 0):
        return None
    until_ms = now_ms + round(route.settings.approval_s * 1000)
    proposal = Proposal(better.arm, now_ms, until_ms, better.log_evidence)
    cause = ProposalCause(
        arm=better.arm,
        step="proposed",
        until_ms=until_ms,
        labels=better.labels,
        mean=better.mean,
        compared_with=better.compared_with,
        reference_labels=better.reference_labels,
        reference_mean=better.reference_mean,
        pairs=better.pairs,
        pair_difference=better.pair_difference,
        log_evidence=better.log_evidence,
        log_threshold=better.log_threshold,
    )
    return Change(kind="routing", cause=cause, moves=(Propose(proposal),))


def lapse(state: RouteState, now_ms: int) -> Change | None:
    """End a proposal that nobody answered in time; what is still proved is proposed anew."""
    proposal = state.proposal
    if proposal is None or now_ms < proposal.until_ms:
        return None
    cause = ProposalCause(
        arm=proposal.arm,
        step="lapsed",
        until_ms=proposal.until_ms,
        log_evidence=proposal.log_evidence,
    )
    return Change(kind="routing", cause=cause, moves=(Propose(None),))


def approval_moves(state: RouteState, command: Command, route: Route) -> tuple[Move, ...]:
    """What an ``approve`` command asks for: the promotion, with the name of who approved."""
    proposal = _asked_for(state, command)
    if state.arms[proposal.arm].verdict == "harmful":
        raise RecordError("refused", f"arm {proposal.arm!r} is harmful by now; reject it")
    if is_suspect(state.measured, proposal.arm):
        raise RecordError(
            "refused",
            f"arm {proposal.arm!r} is doubted by a guardrail by now, which leverframe status "
            "names; reject the arm, or wait",
        )
    promote = Promote(proposal.arm, command.actor, proposal.log_evidence)
    if state.ramp is not None and state.ramp.arm == proposal.arm:
        return (Propose(None), *done_moves(state, route, state.ramp, promote))
    return Propose(None), promote


def rejection_moves(
    state: RouteState, command: Command, route: Route, now_ms: int
) -> tuple[Move, ...]:
    """What a ``reject`` command asks for: no promotion of the arm, for as long as one waits."""
    proposal = _asked_for(state, command)
    until_ms = now_ms + round(route.settings.approval_s * 1000)
    return (Propose(None, declined=proposal.arm, until_ms=until_ms),)


def _asked_for(state: RouteState, command: Command) -> Proposal:
    proposal = state.proposal
    if proposal is None:
        raise RecordError("refused", "no promotion is proposed on the route")
    if command.arm not in {None, proposal.arm}:
        raise RecordError("refused", f"{proposal.arm!r} is proposed, not {command.arm!r}")
    return proposal


def proposal_summary(state: RouteState) -> dict[str, Any] | None:
    """Return the proposal that waits, as heartbeats tell it; None without one."""
    proposal = state.proposal
    return None if proposal is None else structs.asdict(proposal)
