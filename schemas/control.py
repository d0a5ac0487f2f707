"""Topics ``control`` (compacted) and ``control-acks``, both keyed by ``route``."""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

from leverframe.schemas.fields import ArmName, EpochMs, Identifier, RouteName, SchemaVersion, Serial

__all__ = ["ControlAck", "ControlKind", "ControlMessage"]

Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
ControlKind: TypeAlias = Literal["routing", "rollback", "promotion", "heartbeat"]


class ControlMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The full routing state of a route: a reader that sees only the newest one is right.

    Attributes
    ----------
    route : str
        The record's key.
    epoch, seq : int
        The pair rises strictly per route: epoch with each champion change or rollback, seq with
        each message. Anything not higher than what a subscriber has is ignored.
    kind : {"routing", "rollback", "promotion", "heartbeat"}
        What happened; the state is complete in each.
    weights : dict of str to float
        Propensity of every arm, together 1; retired arms are left out.
    champion : str or None
        The arm that traffic returns to.
    quarantined : list of str
        Arms that may receive no traffic.
    safe_weights : dict of str to float
        To use when nothing was heard for ``ttl_ms``.
    ttl_ms : int
        Validity from the message's arrival, milliseconds.
    issued_at_ms : int
        Ms since the epoch.
    salt : str
        For the assigner's hash; constant per route, or for as long as ``reassign_units`` says.
    cause : dict
        Evidence: what made this message, with counts and bounds.
    state_digest : str
        Of the route's state after this decision, 16 hex digits; equal in a replay.
    shadow_share : float
        Share of the requests that all of ``shadow_arms`` answer, drawn by ``request_id``: those
        that are not served in shadow, beside the answer that is given. 0: none.
    shadow_arms : list of str
        Arms that may be asked then.
    schema_version : int
        Of the record's layout, 1 when left out. Fields are only added, with a default: a reader of
        any version reads records of any other, as far as it knows them.
    """

    route: RouteName
    epoch: Serial
    seq: Serial
    kind: ControlKind
    weights: dict[ArmName, float]
    champion: ArmName | None
    quarantined: list[ArmName] = field(default_factory=list)
    safe_weights: dict[ArmName, float]
    ttl_ms: Serial
    issued_at_ms: EpochMs
    salt: str
    cause: dict[str, Any]
    state_digest: str
    shadow_share: Share = 0.0
    shadow_arms: list[ArmName] = field(default_factory=list)
    schema_version: SchemaVersion = 1


class ControlAck(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A serving replica says which control message it applies.

    Attributes
    ----------
    route : str
        The record's key.
    replica : str
        Name of the serving process.
    epoch, seq : int
        Of the message applied.
    applied_at_ms : int
        Ms since the epoch.
    weights_digest : str
        Of the weights in force, 16 hex digits.
    schema_version : int
        Of the record's layout, 1 when left out. Fields are only added, with a default: a reader of
        any version reads records of any other, as far as it knows them.
    """

    route: RouteName
    replica: Identifier
    epoch: Serial
    seq: Serial
    applied_at_ms: EpochMs
    weights_digest: str
    schema_version: SchemaVersion = 1
