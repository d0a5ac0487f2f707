"""What is wrong with the topics, for the commands that check them or start on them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient

from leverframe.agents.doctor.facts import topic_configs
from leverframe.agents.doctor.retention import judge_retention
from leverframe.agents.settings import Settings
from leverframe.streams.runtime.connect import TIMEOUT_MS
from leverframe.streams.runtime.kafka import client_options
from leverframe.streams.runtime.topic_admin import TopicFinding, check_topics
from leverframe.streams.topology import TOPICS

__all__ = ["judge_topics", "topic_faults"]


async def topic_faults(settings: Settings) -> list[TopicFinding]:
    """Compare the broker's topics with the declared ones, their Kafka settings included."""
    findings = await check_topics(settings.broker, settings.declared_topics())
    admin = AIOKafkaAdminClient(**client_options(settings.broker), request_timeout_ms=TIMEOUT_MS)
    try:
        await admin.start()
        existing = [finding.topic for finding in findings if finding.state != "missing"]
        return judge_topics(settings, findings, await topic_configs(admin, existing))
    finally:
        await admin.close()


def judge_topics(
    settings: Settings,
    findings: Sequence[TopicFinding],
    configs: Mapping[str, Mapping[str, str]],
) -> list[TopicFinding]:
    """Add what the topics' own settings get wrong."""
    topics = settings.topic_names
    longest = max((route.window_s for route in settings.routes.values()), default=0.0)
    judged = judge_retention(
        {name: config for name, _, config in settings.declared_topics()},
        {spec.name: topics.full_name(spec) for spec in TOPICS},
        configs,
        configs,
        round(longest * 1000),
    )
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for finding in judged:
        if finding.state == "fault":
            texts[finding.where].append(f"{finding.detail}. {finding.cure}")
    return [
        TopicFinding(
            topic=finding.topic,
            state="wrong",
            detail="; ".join(filter(None, (finding.detail, *texts[finding.topic]))),
        )
        if finding.topic in texts
        else finding
        for finding in findings
    ]
