"""Whether the broker answers and has the topics that a command is about to use; one question."""

import asyncio
import difflib
import logging
from collections.abc import Iterable, Mapping
from typing import Final

from aiokafka.errors import KafkaError

from leverframe.agents.settings import Settings
from leverframe.schemas.errors import BrokerError
from leverframe.serving.patches import read_any_record
from leverframe.streams.runtime.connect import connect
from leverframe.streams.topology import TOPICS, Topics

__all__ = ["absent", "existing_topics", "other_applications", "other_prefixes", "require"]

log = logging.getLogger(__name__)

_SAY_SO_S: Final = 1.5
_PATIENCE_S: Final = 10.0
# What tells a prefix from a name that ends alike by chance.
_TELLING: Final = ("predictions", "ground-truth", "commands", "rewards", "control")
_NAMED: Final = 3


async def require(settings: Settings, topics: Iterable[str], *, counted: bool = False) -> None:
    """Refuse to go on where the broker or a topic is missing, with the names and the cure.

    ``counted``: partition counts must be those of the settings too, since a command that computes
    the partition of a route would look in the wrong place.
    """
    read_any_record()
    found = await existing_topics(settings)
    wanted = list(topics)
    if missing := [name for name in wanted if name not in found]:
        raise BrokerError(absent(settings, missing, found))
    if not counted:
        return
    declared = {name: count for name, count, _ in settings.declared_topics()}
    for name in wanted:
        if found[name] != declared[name]:
            raise BrokerError(
                f"{name} has {found[name]} partitions, the settings say {declared[name]}: correct "
                f"[topics] {_count_of(name, settings.topic_names)}"
            )


async def existing_topics(settings: Settings) -> Mapping[str, int]:
    """Partitions of every topic that this user may see, by name."""
    broker = settings.broker
    loop = asyncio.get_running_loop()
    waiting = loop.call_later(
        _SAY_SO_S, log.warning, "leverframe: waiting for the broker at %s", broker.servers
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            client = await connect(broker)
            try:
                cluster = await client.fetch_all_metadata()
                return {name: len(cluster.partitions_for_topic(name)) for name in cluster.topics()}
            finally:
                await client.close()
    except TimeoutError as error:
        raise BrokerError(
            f"the broker at {broker.servers} gave no answer for {_PATIENCE_S:.0f} s: look at its "
            "log and at the network between, or set LEVERFRAME_BROKER to another"
        ) from error
    except (KafkaError, OSError) as error:
        raise BrokerError(
            f"the broker at {broker.servers} does not tell its topics ({error!r:.200}): look at "
            "its log"
        ) from error
    finally:
        waiting.cancel()


def absent(settings: Settings, missing: Iterable[str], existing: Iterable[str]) -> str:
    """Say in one line which topics are missing, and what to do."""
    prefix = settings.topics.prefix
    where = f"{settings.broker.servers} has no topic {', '.join(missing)}"
    if prefix:
        where += f" (prefix {prefix!r})"
    cure = "create them: leverframe topics create"
    if settings.broker.identity:
        cure += "; or this user may not see them: leverframe doctor"
    if others := other_prefixes(prefix, existing):
        names = " or ".join(repr(each) if each else "none" for each in others)
        cure = f"topics are there under another prefix, {names}: correct [topics] prefix; or {cure}"
    return f"{where}; {cure}"


def other_prefixes(prefix: str, existing: Iterable[str]) -> list[str]:
    """Find other prefixes under which the job's topics exist: 3 at most, the most similar first.

    Examples
    --------
    >>> names = ["predictions", "ground-truth", "commands", "rewards", "control"]
    >>> other_prefixes("", names)
    []
    >>> other_prefixes("a-", [*names, *("b-" + name for name in names), "c-control"])
    ['b-', '']
    """
    names = set(existing)
    if any(prefix + name in names for name in _TELLING):
        return []  # it is the right one, and some topics are missing
    stems = {name.removesuffix("control") for name in names if name.endswith("control")}
    complete = (stem for stem in stems if all(stem + name in names for name in _TELLING))
    others = sorted(stem for stem in complete if stem != prefix)
    others.sort(key=lambda stem: -difflib.SequenceMatcher(None, prefix, stem).ratio())
    return others[:_NAMED]


def other_applications(topics: Topics, existing: Iterable[str]) -> list[str]:
    """Find changelogs of other [app] ids on the same topics: both would count each label.

    A longer prefix with inputs of its own is another deployment, not another id.

    Examples
    --------
    >>> names = ["predictions", "lf-learning-changelog", "b-predictions", "b-x-learning-changelog"]
    >>> other_applications(Topics("lf"), names), other_applications(Topics("new"), names)
    ([], ['lf-learning-changelog'])
    """
    names, end = set(existing), "-learning-changelog"
    others = []
    for name in sorted(names - {topics.learning_changelog}):
        if not (name.startswith(topics.prefix) and name.endswith(end)):
            continue
        stem = name.removesuffix(end)
        inner = (stem[:at] for at in range(len(topics.prefix) + 1, len(stem)))
        if not any(prefix + "predictions" in names for prefix in inner):
            others.append(name)
    return others


def _count_of(topic: str, topics: Topics) -> str:
    spec = next(spec for spec in TOPICS if topics.full_name(spec) == topic)
    return "partitions" if spec.partitioned_by == "request" else "route_partitions"
