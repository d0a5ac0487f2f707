"""Keys of actors: the one that signs here, and all that the job needs to judge commands."""

from collections.abc import Mapping

from leverframe.schemas.errors import SettingsError
from leverframe.streams.routes.authority import ActorSettings, Authority

__all__ = ["require_keys", "secret_of"]


def secret_of(name: str, actors: Mapping[str, ActorSettings]) -> bytes | None:
    """Return what signs an actor's commands; None where nobody signs.

    Raises ``SettingsError`` where the settings do not know the actor, or the key is not given.
    """
    if not actors:
        return None
    if name not in actors:
        raise SettingsError(
            f"commands are signed here, and {name!r} is no actor of the settings: say --actor or "
            f"LEVERFRAME_ACTOR, one of {', '.join(sorted(actors))}"
        )
    key = actors[name].key
    if not key:
        raise SettingsError(
            f"commands are signed here, and the key of {name!r} is not given: set {_variable(name)}"
        )
    return key.encode()


def require_keys(authority: Authority) -> None:
    """Raise ``SettingsError`` where the key of an actor is missing: none of its commands counts."""
    if missing := authority.without_key:
        raise SettingsError(
            "commands of these actors cannot be judged, since their keys are not given: set "
            + ", ".join(_variable(name) for name in missing)
        )


def _variable(name: str) -> str:
    return f"LEVERFRAME_ACTORS__{name.upper()}__KEY"
