"""Topic ``audit``, keyed by ``route``: who did what, and which evidence it stood on."""

from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

from leverframe.schemas.alarms import Coordinates, Reason
from leverframe.schemas.evidence import ArmEvidence
from leverframe.schemas.fields import (
    ArmName,
    EpochMs,
    Identifier,
    RouteName,
    SchemaVersion,
    Serial,
)

__all__ = ["OWN_ACTOR", "AuditEvent", "AuditKind", "VerdictChange"]

AuditKind: TypeAlias = Literal[
    "command",
    "verdict",
    "rollback",
    "promotion",
    "proposal",
    "probation",
    "ramp",
    "drift",
    "registered",
]

OWN_ACTOR: Final = "leverframe"
"""Who acted where nobody asked: the job itself."""


class VerdictChange(Reason, frozen=True, kw_only=True, tag="verdict"):
    """The guard judges an arm otherwise than at the decision before.

    Attributes
    ----------
    arm : str
        That is judged.
    before, verdict : str
        ``healthy``, ``harmful``, ``inconclusive`` or ``no_data``.
    compared_with : str, optional
        The arm that it is held against.
    record : Coordinates
        The deciding reward.
    arms : dict of str to ArmEvidence
        Both, after whatever the decision changed.
    """

    arm: str
    before: str
    verdict: str
    compared_with: str | UnsetType = UNSET
    record: Coordinates | UnsetType = UNSET
    arms: dict[str, ArmEvidence] = field(default_factory=dict)


class AuditEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked of a route or decided on it, by whom, and on which evidence.

    Attributes
    ----------
    route : str
        The record's key.
    event : str
        ``command`` for whatever was asked by one; of the job's own: ``verdict``, ``rollback``,
        ``promotion``, ``proposal``, ``probation``, ``ramp``, ``drift``, ``registered``. A newer
        version may have others.
    outcome : {"done", "refused"}
        Whether it came to pass; what is refused changed nothing.
    actor : str
        Who asked, as the command says; ``leverframe`` where the job decided by itself.
    signed : bool
        Whether a signature proves who asked.
    action : str, optional
        Of the command.
    command_id : str, optional
        Of the command.
    params : dict, optional
        Of the command.
    params_cut : bool
        Whether they are left out, since they are large or no JSON that everybody can read.
    arm : str, optional
        The arm meant.
    reason, detail : str
        Why it was refused, as in the dead letter.
    epoch, seq : int
        Of the control message that carried it; of the one in force, where none did: refusals, and
        verdicts that changed nothing else.
    at_ms : int
        Stream time, ms since the epoch: of the command, or of the record that decided.
    evidence : dict
        The cause of the control message (docs/wire.md), with ``arms``; of a verdict, the change.
    state_digest : str
        Of the route's state after it, 16 hex digits; empty where nothing is known of the route.
    schema_version : int
        Of the record's layout, 1 when left out. Fields are only added, with a default: a reader of
        any version reads records of any other, as far as it knows them.
    """

    route: RouteName
    event: Identifier
    outcome: Literal["done", "refused"] = "done"
    actor: Identifier
    signed: bool = False
    action: str | None = None
    command_id: Identifier | None = None
    params: dict[str, Any] | None = None
    params_cut: bool = False
    arm: ArmName | None = None
    reason: str = ""
    detail: str = ""
    epoch: Serial
    seq: Serial
    at_ms: EpochMs
    evidence: dict[str, Any] = field(default_factory=dict)
    state_digest: Annotated[str, Meta(max_length=16)]
    schema_version: SchemaVersion = 1
