"""Commands count where their actor signed them and may give them."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from leverframe.schemas.codec import encode
from leverframe.schemas.command import Command
from leverframe.schemas.errors import RecordError
from leverframe.schemas.signing import SIGNATURE_HEADER, signature_of
from leverframe.streams.learning.state import RouteState
from leverframe.streams.learning.step import learn
from leverframe.streams.routes.authority import ActorSettings, Authority, Role, actor_faults
from leverframe.streams.routes.route import compile_routes
from leverframe.streams.routes.settings import RouteSettings

KEY, OLD_KEY = "the-key-of-alice", "the-key-of-before"
NOW_MS = 1_700_000_000_000


@dataclass
class Sent:
    """A command as it lies on its topic."""

    value: bytes
    key: bytes = b"r"
    topic: str = "commands"
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    partition: int = 0
    offset: int = 0
    timestamp: int = NOW_MS


def command(action: Any = "freeze", actor: str = "alice", **more: Any) -> Command:
    told = {"command_id": "c1", "route": "r", "issued_at_ms": NOW_MS, **more}
    return Command(action=action, actor=actor, **told)


def sent(asked: Command, key: str | None = KEY) -> Sent:
    record = Sent(encode(asked))
    if key is not None:
        signature = signature_of(record.topic, record.key, record.value, key.encode())
        record.headers.append((SIGNATURE_HEADER, signature))
    return record


def authority(role: Role = "operator", **more: Any) -> Authority:
    return Authority({"alice": ActorSettings(key=KEY, roles={"*": role}, **more)})


def check(
    judge: Authority,
    asked: Command,
    key: str | None = KEY,
    newest_ms: int = 0,
    promote: Any = "",
) -> bool:
    known = RouteState("r", newest_command_ms=newest_ms)
    return judge.check(sent(asked, key), asked, known, promote)


def test_what_is_signed_by_whoever_may_counts() -> None:
    """By the key in force, or the one before it; without actors, everybody's."""
    assert check(authority(), command())
    assert check(authority(key_before=OLD_KEY), command(), OLD_KEY)
    assert not check(Authority({}), command(actor="anybody"), None)


@pytest.mark.parametrize(
    ("asked", "key", "says"),
    [
        (command(), None, "says to be of actor 'alice', but .* is not signed"),
        (command(), OLD_KEY, "wrong signature"),
        (command(actor="bob"), KEY, "'bob' is no actor of the settings; they name alice"),
        (command("approve"), KEY, "'alice' is operator of 'r', and approve needs an approver"),
        (command(issued_at_ms=NOW_MS - 300_001), KEY, "is a copy"),
    ],
    ids=["unsigned", "other key", "unknown", "role", "copy"],
)
def test_what_is_not_is_refused_with_the_name(asked: Command, key: str | None, says: str) -> None:
    """As a dead letter ``forbidden``."""
    with pytest.raises(RecordError, match=says) as refused:
        check(authority(), asked, key, newest_ms=NOW_MS)
    assert refused.value.reason == "forbidden"


def test_bytes_that_were_signed_for_another_place_are_refused() -> None:
    """The topic, the route and every byte are signed."""
    record = sent(command())
    record.topic = "other-commands"
    with pytest.raises(RecordError, match="wrong signature"):
        authority().check(record, command(), None, True)


@pytest.mark.parametrize(
    ("role", "action", "promote", "may"),
    [
        ("observer", "freeze", True, False),
        ("operator", "promote", True, True),
        ("operator", "promote", "propose", False),
        ("operator", "rollback", "propose", True),
        ("approver", "promote", "propose", True),
        ("approver", "approve", "propose", True),
        ("approver", "rollback", True, True),
    ],
)
def test_roles(role: Role, action: Any, promote: bool | str, may: bool) -> None:
    """Nobody but an approver gets past a proposal; a rollback never waits for one."""
    if may:
        assert check(authority(role), command(action), promote=promote)
        return
    with pytest.raises(RecordError, match=f"is {role} of 'r'"):
        check(authority(role), command(action), promote=promote)


def test_a_forged_command_changes_nothing_and_begins_no_route() -> None:
    """It is set aside; the state is not even begun."""
    routes = compile_routes(
        {"*": RouteSettings()}, {"alice": ActorSettings(key=KEY, roles={"*": "operator"})}
    )
    forged = sent(command("register_arm", arm="x"), None)
    done = learn([("commands", [forged])], {}, routes, max_value_bytes=10_000)
    assert not done.states
    assert [letter.reason for letter in done.dead_letters] == ["forbidden"]
    good = sent(command("register_arm", arm="x"))
    again = learn([("commands", [good])], {}, routes, max_value_bytes=10_000)
    assert list(again.states["r"].arms) == ["x"]
    assert again.states["r"].newest_command_ms == NOW_MS


def test_faults_between_actors() -> None:
    """Names that no environment can spell, one token for two, and a token of nobody's."""
    one = ActorSettings(token="t" * 16)
    said = [text for _, text in actor_faults({"Alice": one, "bob": one}, "w" * 16)]
    assert len(said) == 3
    assert [*actor_faults({"alice": one}, "")] == []
