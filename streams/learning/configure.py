"""A route's settings by command: what ``configure`` asks for, and what it does to the state."""

from leverframe.schemas.command import Command
from leverframe.schemas.errors import RecordError
from leverframe.schemas.route_settings import AppliedSettings
from leverframe.streams.learning.state import RouteState
from leverframe.streams.routes.applied import (
    decode_applied,
    encode_applied,
    settings_faults,
    written_out,
)

__all__ = ["again", "apply_settings"]


def apply_settings(
    state: RouteState, command: Command, now_ms: int, *, is_written: bool
) -> AppliedSettings:
    """Let the settings of a command hold from here on; return what is told of it.

    A policy that a command had set before gives way: what was applied says which one holds.
    ``is_written`` says whether the settings file has the route too. Raises ``RecordError``
    (``invalid``, ``refused``) where the settings have faults: then nothing has changed.
    """
    params = command.params or {}
    if "settings" not in params:
        raise RecordError("invalid", "params.settings must be an object, or null")
    told = params["settings"]
    settings = None
    if told is None and not is_written:
        raise RecordError(
            "refused",
            f"the settings file of the workers has no section for {command.route!r}: there is "
            "nothing to go back to",
        )
    if told is not None:
        settings, faults = settings_faults(told)
        if settings is None:
            raise RecordError("refused", f"the settings have faults: {'; '.join(faults)}")
    state.applied = b"" if settings is None else encode_applied(settings)
    state.policy = None
    return AppliedSettings(
        route=command.route,
        settings=None if settings is None else written_out(settings),
        command_id=command.command_id,
        actor=command.actor,
        applied_at_ms=now_ms,
    )


def again(state: RouteState, now_ms: int) -> AppliedSettings:
    """Return what holds by a route's state, to be told once more by the job itself."""
    return AppliedSettings(
        route=state.route,
        settings=written_out(decode_applied(state.applied)) if state.applied else None,
        command_id="again",
        actor="leverframe",
        applied_at_ms=now_ms,
    )
