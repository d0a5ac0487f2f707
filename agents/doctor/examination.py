"""The whole examination: local checks, facts from the broker, judgements in a fixed order."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aiokafka.errors import KafkaError

from leverframe.agents.doctor.clocks import judge_clocks
from leverframe.agents.doctor.facts import Facts, gather_facts
from leverframe.agents.doctor.findings import Finding, exit_code, fault, ok, warning
from leverframe.agents.doctor.local import judge_folder, judge_routes
from leverframe.agents.doctor.losses import judge_losses
from leverframe.agents.doctor.partitioners import CHECK as PARTITIONER
from leverframe.agents.doctor.partitioners import judge_partitioners, place
from leverframe.agents.doctor.permissions import judge_rights
from leverframe.agents.doctor.replication import judge_replication
from leverframe.agents.doctor.retention import judge_retention
from leverframe.agents.doctor.sample import Sample
from leverframe.agents.doctor.units import judge_units
from leverframe.agents.doctor.workers import judge_attendance
from leverframe.agents.operator.narrate import ALARM_HEADLINES, CRITICAL_ALARMS
from leverframe.agents.operator.plan import differences
from leverframe.agents.settings import Settings
from leverframe.schemas.errors import BrokerError
from leverframe.schemas.traffic import OVER_QUOTA
from leverframe.streams.routes.applied import written_out
from leverframe.streams.routes.settings import OTHER_ROUTES
from leverframe.streams.topology import TOPICS

__all__ = ["examine", "judge_alarms", "judge_broker"]

_QUOTA: Final = "requests beyond its max_requests_per_s were not counted lately"
_HEADLINES: Final = {**ALARM_HEADLINES, OVER_QUOTA: _QUOTA}

_LONGEST_S: Final = 90.0
_CREATE: Final = "Create: leverframe topics create"


async def examine(settings: Settings, path: Path | None) -> tuple[list[Finding], int]:
    """Run all checks.

    Parameters
    ----------
    settings : Settings
        That could be read.
    path : Path, optional
        Their file.

    Returns
    -------
    tuple of list of Finding and int
        The findings, and the exit code: 2 when no broker answers, 1 with a fault, else 0.
    """
    found = [*judge_routes(settings, path), judge_folder(settings)]
    try:
        async with asyncio.timeout(_LONGEST_S):
            facts = await gather_facts(settings)
    except BrokerError as error:
        said, _, cure = str(error).partition(". ")
        return [*found, fault("broker", settings.broker.servers, said, cure)], 2
    except (KafkaError, OSError, TimeoutError) as error:
        said = f"the broker stopped answering ({error!r:.200})"
        cure = "Look at the broker's log, and at the network between"
        return [*found, fault("broker", settings.broker.servers, said, cure)], 2
    found += judge_broker(settings, facts)
    return found, exit_code(found)


def judge_broker(settings: Settings, facts: Facts) -> list[Finding]:
    """Judge what a broker told.

    Parameters
    ----------
    settings : Settings
        What must be.
    facts : Facts
        What is.

    Returns
    -------
    list of Finding
        In a fixed order.
    """
    topics = settings.topic_names
    wanted = {topic.name: topic.config for topic in settings.declared_topics()}
    longest = max((route.window_s for route in settings.routes.values()), default=0.0)
    names = {spec.name: topics.full_name(spec) for spec in TOPICS}
    return [
        _reached(settings, facts),
        *_topics(settings, facts),
        *judge_retention(wanted, names, facts.configs, facts.partitions, round(longest * 1000)),
        *judge_replication(
            facts.replicas, facts.configs, len(facts.brokers), settings.topics.replication
        ),
        *_partitioners(settings, facts),
        *judge_clocks(facts.samples, topics.control),
        *_units(settings, facts),
        *judge_rights(facts.refused, topics, settings.broker.identity, facts.asked),
        *judge_attendance(facts.group, facts.samples[topics.control]),
        *judge_losses(facts.losses, facts.taken_at_ms),
        *_policies(facts),
        *_applied(settings, facts),
        *judge_alarms(facts.samples[topics.control]),
    ]


def _units(settings: Settings, facts: Facts) -> Iterator[Finding]:
    # A user without any right to the topic does not see it.
    sample = facts.samples.get(settings.topic_names.predictions, Sample())
    served = [one.served for one in sample.records if one.served is not None]
    written = settings.routes
    redrawn = [
        route
        for route in {one.route for one in served}
        if (known := written.get(route, written.get(OTHER_ROUTES))) and known.reassign_units
    ]
    yield from judge_units(served, redrawn)


def judge_alarms(control: Sample) -> Iterator[Finding]:
    """Tell of the alarms in the newest heartbeat of each route that was sampled.

    Parameters
    ----------
    control : Sample
        Of the control topic.

    Yields
    ------
    Finding
        One for each alarm in force.
    """
    newest = {one.name: one.alarms for one in control.records if one.alarms is not None}
    for route, alarms in newest.items():
        for alarm in alarms or ():
            said = f"{alarm}: {_HEADLINES.get(alarm, 'an alarm of a newer version')}"
            judge = fault if alarm in CRITICAL_ALARMS else warning
            yield judge("alarm", f"route {route}", said, f"Look: leverframe explain {route}")


def _policies(facts: Facts) -> Iterator[Finding]:
    for route, policy in facts.policies.items():
        if policy.differs and policy.written is not None:
            yield warning(
                "policy",
                f"route {route}",
                f"{policy.name} is in force, by command; the settings say {policy.written[0]}"
                + ("" if policy.name != policy.written[0] else " with other parameters"),
                "Set policy in the settings too, or: leverframe set-policy ROUTE POLICY",
            )


def _applied(settings: Settings, facts: Facts) -> Iterator[Finding]:
    """Where the settings file says other than what was applied, which holds."""
    for route, told in facts.applied.items():
        written = settings.routes.get(route)
        if told.settings is None:
            continue
        keys = (
            ["the whole section"]
            if written is None
            else [one.key for one in differences(told.settings, written_out(written))]
        )
        if keys:
            yield warning(
                "settings",
                f"route {route}",
                f"what was applied to it differs from the settings file here: {', '.join(keys)}",
                "What was applied holds. Compare: leverframe plan FILE",
            )


def _reached(settings: Settings, facts: Facts) -> Finding:
    silent = [address for address, answers in facts.brokers.items() if not answers]
    count = len(facts.brokers)
    said = f"cluster {facts.cluster_id} answers with {count} broker{'s' if count != 1 else ''}"
    if silent:
        return warning(
            "broker",
            settings.broker.servers,
            f"{said}, of which {', '.join(silent)} cannot be reached from here",
            "Start it, or correct its advertised.listeners",
        )
    return ok("broker", settings.broker.servers, said)


def _topics(settings: Settings, facts: Facts) -> Iterator[Finding]:
    topics = settings.topic_names
    bad = [finding for finding in facts.topics if finding.state != "ok"]
    missing = {finding.topic for finding in bad if finding.state == "missing"}
    if missing:
        # A broker does not show a topic to a user without any right to it.
        said = "missing" + (", or hidden from this user: see permissions" if facts.refused else "")
        yield fault("topics", ", ".join(sorted(missing)), said, _create_or_correct(facts))
    for finding in bad:
        if finding.topic not in missing:
            said, _, cure = finding.detail.partition(". ")
            yield fault("topics", finding.topic, said, cure)
    counts = [facts.partitions.get(name) for name in (topics.predictions, topics.ground_truth)]
    if None not in counts and counts[0] != counts[1]:
        yield fault(
            "topics",
            f"{topics.predictions}, {topics.ground_truth}",
            f"{counts[0]} and {counts[1]} partitions: halves of a pair do not meet",
            "Make one of them anew with the count of the other; adding partitions moves keys",
        )
    if not bad:
        yield ok("topics", "broker", f"{len(facts.topics)} topics have the declared partitions")


def _create_or_correct(facts: Facts) -> str:
    if not facts.other_prefixes:
        return _CREATE
    names = " or ".join(repr(prefix) if prefix else "none" for prefix in facts.other_prefixes)
    return f"Topics are there under another prefix, {names}: correct [topics] prefix. {_CREATE}"


def _partitioners(settings: Settings, facts: Facts) -> list[Finding]:
    topics = settings.topic_names
    inputs = (topics.predictions, topics.ground_truth)
    samples = {name: facts.samples[name] for name in inputs if name in facts.partitions}
    unread = [name for name in samples if samples[name].failure]
    if len(samples) < len(inputs) or unread:
        where = ", ".join(unread or [name for name in inputs if name not in samples])
        why = samples[unread[0]].failure if unread else "the topic is missing"
        return [warning(PARTITIONER, where, f"cannot be told: {why}", "Mend that first")]
    predictions, labels = (
        place(name, samples[name].records, facts.partitions[name]) for name in inputs
    )
    return judge_partitioners(predictions, labels, {name: samples[name].records for name in inputs})
