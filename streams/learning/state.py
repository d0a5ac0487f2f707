"""What the learning ledger keeps for each route: versioned msgpack of typed structs."""

import hashlib
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from leverframe.policies.guard.seen import SeenUnits
from leverframe.policies.guard.verdict import Verdict
from leverframe.streams.health.closed_loop import ClosedLoop
from leverframe.streams.health.join import JoinHealth
from leverframe.streams.learning.arm import ArmState
from leverframe.streams.learning.measured import RouteMetrics
from leverframe.streams.learning.pairs import Pair
from leverframe.streams.learning.proposal import Proposal
from leverframe.streams.learning.ramp import Ramp

__all__ = [
    "Probation",
    "Reign",
    "RouteState",
    "decode_route",
    "encode_route",
    "new_route",
    "salt_of",
    "state_digest",
]


class Reign(Struct, array_like=True, frozen=True):
    """A champion of the past, to which traffic can return.

    Attributes
    ----------
    arm : str
        Its name.
    epoch : int
        In which it stopped being champion.
    until_ms : int
        Stream time of that.
    labels : int
        Counted in its life by then.
    mean : float or None
        Mean reward (mapped to [0, 1]) by then.
    verdict : str
        The guard's, by then.
    gap_nano : int
        By how much its successor's labels were better, 1e-9 of a reward, at least 0: to be that
        much worse was tolerable when it stayed as the way back.
    successor : str
        Who took over.
    approved_by : str
        Who approved that, on routes where a person does; else empty.
    log_evidence : float or None
        Nats for the successor when it was proposed, where a person approved.
    """

    arm: str
    epoch: int
    until_ms: int
    labels: int
    mean: float | None
    verdict: Verdict
    gap_nano: int = 0
    successor: str = ""
    approved_by: str = ""
    log_evidence: float | None = None


class Probation(Struct, array_like=True, frozen=True):
    """An arm whose share is bounded while it is suspected.

    Attributes
    ----------
    arm : str
        The suspect.
    compared_with : str
        Its reference, which gets labels first.
    since_ms : int
        Stream time.
    """

    arm: str
    compared_with: str
    since_ms: int


class RouteState(Struct, array_like=True, tag=3):
    """Everything known of one route; decoded afresh for each micro-batch, so a step may change it.

    Attributes
    ----------
    route : str
        Its name.
    epoch, seq : int
        Of the newest control message.
    champion : str or None
        The arm that traffic returns to.
    arms : dict of str to ArmState
        In the order of registration.
    weights : dict of str to float
        In force: what the newest control message says.
    target : dict of str to float
        What the newest decision wants; published once it differs enough.
    policy : tuple of str and dict, or None
        Set by command; None means as in the settings.
    pinned : str or None
        The arm to which a person pinned all traffic.
    frozen : bool
        Whether a person froze the weights.
    last_known_good : list of Reign
        Former champions that were not rolled back, newest last.
    last_decision_ms : int
        Stream time of the newest decision.
    labels_since_decision : int
        Counted since then.
    weighed_ms, weighed_labels : int
        Stream time, and labels of all arms, when the policy last weighed them.
    commands : dict of str to int
        The most recent command ids and the seq that answered each.
    cause : dict
        Evidence of the newest routing change; heartbeats carry it on.
    contexts : list of list of float
        The latest contexts, where the route keeps them.
    shadow : dict of str to dict of str to float
        What each shadow policy would do: weights by arm, by the policy's name.
    cooldown_until_ms : int
        Stream time until which no challenger's share grows, since an arm was rolled back.
    loop : ClosedLoop
        What is known of those who follow; not part of the digest.
    join : JoinHealth
        How the join fares; not part of the digest.
    units : SeenUnits
        Whom the guard has seen in this period, where predictions name their unit.
    salt_period : int
        Of the newest salt published, on routes that draw units anew; not part of the digest, since
        heartbeats raise it by wall time.
    probation : Probation or None
        The arm on probation, at most one.
    pairs : dict of str to Pair
        Arms on the same requests, by both names; ``streams.learning.pairs``.
    ramp : Ramp or None
        The ramp under way, at most one.
    proposal : Proposal or None
        The promotion that waits for a person, at most one.
    declined : dict of str to int
        Arms whose promotion was declined, and the stream time until which none is proposed.
    measured : RouteMetrics or None
        What predictions measured, on routes that declare metrics.
    newest_command_ms : int
        When the newest command was issued that was taken, where actors sign theirs.
    applied : bytes
        The route's settings as they were applied by command (``streams.routes.applied``); empty
        where those of the settings file hold.
    """

    route: str
    epoch: int = 0
    seq: int = 0
    champion: str | None = None
    arms: dict[str, ArmState] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    target: dict[str, float] = field(default_factory=dict)
    policy: tuple[str, dict[str, Any]] | None = None
    pinned: str | None = None
    frozen: bool = False
    last_known_good: list[Reign] = field(default_factory=list)
    last_decision_ms: int = 0
    labels_since_decision: int = 0
    weighed_ms: int = 0
    weighed_labels: int = 0
    commands: dict[str, int] = field(default_factory=dict)
    cause: dict[str, Any] = field(default_factory=dict)
    contexts: list[list[float]] = field(default_factory=list)
    shadow: dict[str, dict[str, float]] = field(default_factory=dict)
    cooldown_until_ms: int = 0
    loop: ClosedLoop = field(default_factory=ClosedLoop)
    join: JoinHealth = field(default_factory=JoinHealth)
    units: SeenUnits = field(default_factory=SeenUnits)
    salt_period: int = 0
    probation: Probation | None = None
    pairs: dict[str, Pair] = field(default_factory=dict)
    ramp: Ramp | None = None
    proposal: Proposal | None = None
    declined: dict[str, int] = field(default_factory=dict)
    measured: RouteMetrics | None = None
    newest_command_ms: int = 0
    applied: bytes = b""

    @property
    def labels(self) -> int:
        """Labels counted, of all arms together."""
        return sum(arm.count for arm in self.arms.values())

    @property
    def eligible(self) -> list[str]:
        """Names of the arms that may receive traffic."""
        return [name for name, arm in self.arms.items() if arm.is_eligible]

    @property
    def registrations(self) -> dict[str, int]:
        """Which arm was registered as which, counted from the first."""
        return {name: arm.registration for name, arm in self.arms.items()}


encode_route: Final = msgspec.msgpack.Encoder().encode
decode_route: Final = msgspec.msgpack.Decoder(RouteState).decode


def new_route(route: str) -> RouteState:
    """Return the state of a route that has no arms yet, at epoch 0 and seq 0."""
    return RouteState(route)


def salt_of(route: str, period: int | None = None) -> str:
    """Return the salt of a route's assignments, 16 hex digits: no other route's.

    Constant, or another one in each ``period``, where units are drawn anew.
    """
    text = route if period is None else f"{route}\x00{period}"
    return hashlib.blake2b(text.encode(), digest_size=8, person=b"lf-salt").hexdigest()


def state_digest(state: RouteState) -> str:
    """Return 16 hex digits of all that a replay of the same records must reproduce.

    The sequence number is left out, since heartbeats raise it by wall time.
    """
    body: tuple[Any, ...] = (
        state.route,
        state.epoch,
        state.champion,
        state.arms,
        state.weights,
        state.policy,
        state.pinned,
        state.frozen,
        state.last_known_good,
        state.cooldown_until_ms,
        state.probation,
        state.pairs,
    )
    if state.units.period >= 0:
        body += (state.units,)
    if state.ramp is not None:
        body += (state.ramp,)
    if state.proposal is not None or state.declined:
        body += (state.proposal, state.declined)
    if state.measured is not None:
        body += (state.measured,)
    if state.applied:
        body += (state.applied,)
    return hashlib.blake2b(msgspec.msgpack.encode(body), digest_size=8).hexdigest()
