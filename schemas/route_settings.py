"""Topic ``route-settings``, keyed by ``route``: settings that were applied while the job runs."""

from typing import Any

from msgspec import Struct

from leverframe.schemas.fields import EpochMs, Identifier, RouteName, SchemaVersion

__all__ = ["AppliedSettings"]


class AppliedSettings(Struct, frozen=True, kw_only=True):
    """What a ``configure`` command made of a route's settings; the newest record holds.

    Written by the job alone, once it has accepted the command, and signed as control messages are.

    Attributes
    ----------
    route : str
        Equals the record's key.
    settings : dict or None
        All of ``[routes.NAME]``, defaults too; None where the route went back to the settings file
        of the workers.
    command_id : str
        Of the command.
    actor : str
        Who asked.
    applied_at_ms : int
        Record time of the command, ms since the epoch.
    schema_version : int
        Of the record's layout. Fields are only added, with a default.
    """

    route: RouteName
    settings: dict[str, Any] | None
    command_id: Identifier
    actor: Identifier
    applied_at_ms: EpochMs
    schema_version: SchemaVersion = 1
