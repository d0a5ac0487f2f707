"""The least that Kafka must allow each role, as a script of its own tool. Pure."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from leverframe.agents.settings import Settings
from leverframe.streams.topology import copies_in

__all__ = ["ROLES", "Right", "Role", "acl_script", "rights_of"]

Role: TypeAlias = Literal[
    "worker", "serving", "labels", "gateway", "actuator", "operator", "auditor", "administrator"
]
Kind: TypeAlias = Literal["topic", "group", "transactional-id"]


class Right(Struct, frozen=True, order=True):
    """One thing that is allowed.

    Attributes
    ----------
    kind : {"topic", "group", "transactional-id"}
        Of the resource.
    operation : str
        As Kafka names it; ``Read`` and ``Write`` imply ``Describe``.
    name : str
        Of the resource.
    is_prefix : bool
        Whether names that begin so are meant.
    """

    kind: Kind
    operation: str
    name: str
    is_prefix: bool = False


def rights_of(role: Role, settings: Settings) -> list[Right]:
    """Return what a role needs, in order."""
    return sorted({*_ROLES[role](settings)})


def _topics(operation: str, *names: str) -> Iterator[Right]:
    return (Right("topic", operation, name) for name in names)


def _worker(settings: Settings) -> Iterator[Right]:
    topics, prefix = settings.topic_names, settings.topics.prefix
    changelogs = topics.attribution_changelog, topics.learning_changelog
    inputs = topics.predictions, topics.ground_truth
    yield from _topics("Read", *inputs, topics.rewards, topics.commands, topics.control)
    yield from _topics("Read", topics.control_acks, topics.traffic, topics.route_settings)
    yield from _topics("Read", *changelogs)
    yield from _topics("Write", topics.rewards, topics.traffic, topics.dead_letters, *changelogs)
    yield from _topics("Write", topics.control, topics.commands, topics.route_settings)
    yield from _topics("Write", topics.audit)
    copies = (prefix + copy.name for copy in copies_in(settings.topics.format))
    yield from _topics("Write", *copies)
    group = prefix + settings.app.id
    yield Right("group", "Read", group)
    yield Right("transactional-id", "Write", f"{group}-", is_prefix=True)
    if settings.sources:
        yield from _topics("Read", *(source.topic for source in settings.sources.values()))
        yield from _topics("Write", *inputs)
        yield Right("group", "Read", f"{group}-sources")


def _serving(settings: Settings) -> Iterator[Right]:
    topics = settings.topic_names
    yield from _topics("Read", topics.control)
    yield from _topics("Write", topics.control_acks, topics.predictions)


def _labels(settings: Settings) -> Iterator[Right]:
    yield from _topics("Write", settings.topic_names.ground_truth)


def _gateway(settings: Settings) -> Iterator[Right]:
    yield from _serving(settings)
    yield from _labels(settings)


def _actuator(settings: Settings) -> Iterator[Right]:
    yield from _topics("Read", settings.topic_names.control)
    yield from _topics("Write", settings.topic_names.control_acks)


def _operator(settings: Settings) -> Iterator[Right]:
    """Whoever looks, steers, and puts dead letters back."""
    topics = settings.topic_names
    inputs = topics.predictions, topics.ground_truth
    yield from _topics("Read", *inputs, topics.rewards, topics.commands, topics.control)
    yield from _topics("Read", topics.control_acks, topics.traffic, topics.route_settings)
    yield from _topics("Read", topics.dead_letters, topics.learning_changelog)
    yield from _topics("Write", topics.commands, *inputs)
    every = (topic.name for topic in settings.declared_topics())
    yield from _topics("DescribeConfigs", *every)
    yield Right("group", "Describe", settings.topics.prefix + settings.app.id)


def _auditor(settings: Settings) -> Iterator[Right]:
    yield from _topics("Read", settings.topic_names.audit)


def _administrator(settings: Settings) -> Iterator[Right]:
    """Whoever makes topics, starts anew, exports and imports."""
    yield from _worker(settings)
    every = [topic.name for topic in settings.declared_topics()]
    yield from _topics("Create", *every)
    yield from _topics("DescribeConfigs", *every)
    yield from _topics("Describe", *every)


_ROLES: Final[Mapping[Role, Callable[[Settings], Iterator[Right]]]] = {
    "worker": _worker,
    "serving": _serving,
    "labels": _labels,
    "gateway": _gateway,
    "actuator": _actuator,
    "operator": _operator,
    "auditor": _auditor,
    "administrator": _administrator,
}
ROLES: Final[tuple[Role, ...]] = tuple(_ROLES)


def acl_script(role: Role, settings: Settings, principal: str, host: str = "*") -> Iterator[str]:
    """Yield the lines of a shell script that allows a principal (``User:name``) what a role needs.

    It asks for ``KAFKA_ACLS`` (the tool, ``kafka-acls.sh`` else), and ``ADMIN_CONFIG``, a file with
    the properties of whoever may allow it. A right that is there already is no fault.
    """
    servers = shlex.quote(settings.broker.servers)
    yield "#!/bin/sh"
    yield f"# What Kafka must allow the {role} of leverframe, and no more."
    yield "set -eu"
    yield "allow() {"
    yield f'  "${{KAFKA_ACLS:-kafka-acls.sh}}" --bootstrap-server {servers} \\'
    yield '    ${ADMIN_CONFIG:+--command-config "$ADMIN_CONFIG"} --add \\'
    yield f'    --allow-principal {shlex.quote(principal)} --allow-host {shlex.quote(host)} "$@"'
    yield "}"
    for (kind, operation, is_prefix), rights in groupby(rights_of(role, settings), _alike):
        names = " ".join(f"--{kind} {shlex.quote(right.name)}" for right in rights)
        pattern = "prefixed" if is_prefix else "literal"
        yield f"allow --operation {operation} --resource-pattern-type {pattern} {names}"


def _alike(right: Right) -> tuple[str, str, bool]:
    return right.kind, right.operation, right.is_prefix
