"""Topic ``commands``, keyed by ``route``: an operator's intent."""

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from leverframe.schemas.fields import ArmName, EpochMs, Identifier, RouteName, SchemaVersion

__all__ = ["Action", "Command"]

Action: TypeAlias = Literal[
    "register_arm",
    "retire_arm",
    "set_policy",
    "set_weights",
    "promote",
    "rollback",
    "release",
    "pin",
    "unpin",
    "freeze",
    "unfreeze",
    "ramp",
    "approve",
    "reject",
    "configure",
    "decide",
]


class Command(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operator, or a deployment pipeline, wants done on a route.

    Attributes
    ----------
    command_id : str
        Makes the command idempotent: a second one with the same id changes nothing.
    route : str
        Must equal the record's key.
    action : str
        One of ``register_arm``, ``retire_arm``, ``set_policy``, ``set_weights``, ``promote``,
        ``rollback``, ``release``, ``pin``, ``unpin``, ``freeze``, ``unfreeze``, ``ramp``,
        ``approve``, ``reject``, ``configure``; ``decide``, which the job itself sends where labels
        wait for a decision.
    arm : str, optional
        The arm meant, where the action needs one.
    params : dict, optional
        ``validation_score`` with its ``validation_count``, ``prior`` (successes and failures) and
        ``shadow`` for ``register_arm``; ``policy`` and ``params`` for ``set_policy``; ``weights``
        (by arm, together 1) for ``set_weights``; ``yes`` (true) for a ``rollback`` to an arm that
        is worse by the evidence; ``do`` (``begin``, ``pause``, ``resume``, ``skip``, ``abort``)
        for ``ramp``, and where it begins ``steps`` (percentages), ``dwell``, ``min_labels``,
        ``gate``, ``limit`` and ``at_limit``; ``settings`` for ``configure``: all of
        ``[routes.NAME]``, or null to go back to the workers' file; ``due_ms`` for ``decide``.
    actor : str
        Who asked, for the record.
    issued_at_ms : int
        Ms since the epoch.
    schema_version : int
        Of the record's layout, 1 when left out. Fields are only added, with a default: a reader of
        any version reads records of any other, as far as it knows them.
    """

    command_id: Identifier
    route: RouteName
    action: Action
    arm: ArmName | None = None
    params: dict[str, Any] | None = None
    actor: Identifier
    issued_at_ms: EpochMs
    schema_version: SchemaVersion = 1
