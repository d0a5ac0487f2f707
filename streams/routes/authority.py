"""Who may command what: an actor's signature, and the actor's role on the route.

The job asks, not the command line: whoever can write to ``commands`` can write anything. Without
actors in the settings nothing is asked.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias

from msgspec import Meta, Struct, field

from leverframe.schemas.command import Action, Command
from leverframe.schemas.errors import ControlError, RecordError
from leverframe.schemas.signing import check_signature

__all__ = ["ActorSettings", "Authority", "Role", "actor_faults"]

Role: TypeAlias = Literal["observer", "operator", "approver"]
Secret: TypeAlias = Annotated[str, Meta(pattern=r"^(|[!-~]{16,})$")]

_RANKS: Final[tuple[Role, ...]] = ("observer", "operator", "approver")
_FOR_APPROVERS: Final[frozenset[Action]] = frozenset({"approve", "reject"})
# Where a person's yes is asked for: what would get around it.
_PROPOSED: Final[frozenset[Action]] = frozenset({"promote", "configure"})
# A clock may be slow, and a command wait behind a backlog of others.
_LATE_MS: Final = 300_000


class ActorSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person or a pipeline that commands (docs/authority.md).

    Attributes
    ----------
    key : str
        Signs the actor's commands, 16 characters at least. Give it by the environment.
    key_before : str
        The key before it, while one is replaced by another.
    token : str
        With which the actor signs in to the dashboard; the worker that serves it signs. Give it by
        the environment.
    roles : dict of str to {"observer", "operator", "approver"}
        By route, or pattern with ``*``; the longest that fits holds. An operator does all but
        approve and reject, and promote or configure where promotions are proposed; an observer
        commands nothing.
    """

    key: Secret = ""
    key_before: Secret = ""
    token: Secret = ""
    roles: dict[str, Role] = field(default_factory=lambda: {"*": "operator"})

    def __repr__(self) -> str:
        """Leave keys and token out."""
        return f"ActorSettings(roles={self.roles!r})"

    def role_on(self, route: str) -> Role:
        """Return the role on a route.

        Examples
        --------
        >>> actor = ActorSettings(roles={"*": "observer", "a*": "operator", "a1": "approver"})
        >>> [actor.role_on(route) for route in ("b", "a2", "a1")]
        ['observer', 'operator', 'approver']
        """
        if route in self.roles:
            return self.roles[route]
        fitting = [pattern for pattern in self.roles if fnmatchcase(route, pattern)]
        return self.roles[max(fitting, key=len)] if fitting else "observer"


class Commanded(Protocol):
    """What a route's state tells of the commands that it took."""

    newest_command_ms: int


class Authority:
    """Judges commands by the actors of the settings; without any, all may do all."""

    def __init__(self, actors: Mapping[str, ActorSettings]) -> None:
        self._actors = actors

    @property
    def without_key(self) -> list[str]:
        """Actors whose commands cannot be judged here."""
        return [name for name, actor in self._actors.items() if not actor.key]

    def check(
        self, record: Any, command: Command, known: Commanded | None, promote: object
    ) -> bool:
        """Refuse what its actor may not do, or did not sign; return whether it was signed.

        Parameters
        ----------
        record : InputRecord
            The command as it lies on its topic, with its headers.
        command : Command
            What it says.
        known : RouteState or None
            The route's, where it has one: when the newest command was issued that it took. One that
            is much older is a copy, whose id may be forgotten.
        promote : bool or str
            As the route's settings say; with ``propose`` promotions wait for an approver.

        Raises
        ------
        RecordError
            ``forbidden``, with the actor's name.
        """
        if not self._actors:
            return False
        name = command.actor
        actor = self._actors.get(name)
        if actor is None or not actor.key:
            names = ", ".join(sorted(self._actors))
            raise RecordError(
                "forbidden", f"{name!r} is no actor of the settings; they name {names}"
            )
        keys = [key.encode() for key in (actor.key, actor.key_before) if key]
        try:
            check_signature(record, keys)
        except ControlError as error:
            raise RecordError(
                "forbidden", f"it says to be of actor {name!r}, but {error}"
            ) from error
        newest_ms = 0 if known is None else known.newest_command_ms
        if command.issued_at_ms < newest_ms - _LATE_MS:
            raise RecordError(
                "forbidden",
                f"actor {name!r} issued it {(newest_ms - command.issued_at_ms) // 1000} s before "
                "the newest command: it is a copy, or that clock is slow",
            )
        needed = needed_role(command.action, promote)
        role = actor.role_on(command.route)
        if _RANKS.index(role) < _RANKS.index(needed):
            raise RecordError(
                "forbidden",
                f"actor {name!r} is {role} of {command.route!r}, and {command.action} needs an "
                f"{needed}: [actors.{name}] roles",
            )
        return True


def needed_role(action: Action, promote: object) -> Role:
    """Return the least role that may do it."""
    if action in _FOR_APPROVERS or (action in _PROPOSED and promote == "propose"):
        return "approver"
    return "operator"


def actor_faults(
    actors: Mapping[str, ActorSettings], web_token: str
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find what is wrong between actors."""
    for name in actors:
        if name != name.lower() or not name.replace("-", "").replace(".", "").isalnum():
            yield (
                (f"actors.{name}", "actors", name),
                "an actor's name has small letters, digits, - and . alone",
            )
    tokens = [actor.token for actor in actors.values() if actor.token]
    if len(set(tokens)) < len(tokens):
        yield ("actors", "actors"), "two actors have one token"
    if actors and web_token:
        yield (
            ("app.web_token", "app", "web_token"),
            "with [actors] the dashboard signs in by their tokens: leave it out",
        )
