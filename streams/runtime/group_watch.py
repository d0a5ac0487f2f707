"""Watches over a worker's place in its consumer group; what cannot go on ends the process.

aiokafka keeps a member in its group by tasks of its own. An error that it cannot mend it logs and
hands to whoever polls next, and then it waits for ever; Faust asks for records alone, so the worker
would live on and do nothing. The same would follow from a task that ends, from a topic that is gone
and from partitions that were added: keys lie elsewhere then, and nobody reads them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.metadata import MetadataRequest
from msgspec import Struct

from leverframe.schemas.errors import BrokerError, GroupError
from leverframe.serving.tasks import tasks_of
from leverframe.streams.runtime.attendance import Attendance, owned_partitions
from leverframe.streams.runtime.connect import find_error
from leverframe.streams.runtime.kafka import BrokerSettings
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.runtime.refusals import Member, is_passing, kind_of, refusal
from leverframe.streams.runtime.tokens import TokenError
from leverframe.streams.runtime.topic_admin import judge_topic
from leverframe.streams.topology import DeclaredTopic

__all__ = ["Charge", "GroupWatch"]

log = make_logger(__name__)

_LOOK_S: Final = 2.0
_ANSWER_S: Final = 5.0
# Who makes a topic anew deletes it first.
_MISSING_S: Final = 6.0
_REJOIN_S: Final = 0.5
# Of a heartbeat: unknown member, fenced instance. Whoever has a lasting name was replaced then.
_REPLACED: Final = frozenset({25, 82})


class Charge(Struct, frozen=True, kw_only=True):
    """What is watched over.

    Attributes
    ----------
    broker : BrokerSettings
        How to reach Kafka.
    member : Member
        What this worker is to its group.
    declared : sequence of DeclaredTopic
        The topics, as they must stay.
    reads : frozenset of str
        Full names of those that the group reads.
    advisory : frozenset of str
        Full names of those among them that the job can do without.
    on_fatal : callable
        Gets what ends the process; called in the consumer's thread.
    """

    broker: BrokerSettings
    member: Member
    declared: Sequence[DeclaredTopic]
    reads: frozenset[str]
    advisory: frozenset[str]
    on_fatal: Callable[[BaseException], None]


class GroupWatch:
    """Watches a consumer of aiokafka that has started; lives in its thread."""

    def __init__(self, consumer: Any, charge: Charge) -> None:
        self._consumer = consumer
        self._client = consumer._client  # noqa: SLF001 - nothing public tells of these
        self._coordinator = consumer._coordinator  # noqa: SLF001
        self._send = self._coordinator._send_req  # noqa: SLF001
        self._charge = charge
        self._missing_since_s: dict[str, float] = {}
        wanted = [
            TopicPartition(topic.name, partition)
            for topic in charge.declared
            if topic.name in charge.reads - charge.advisory
            for partition in range(topic.partitions)
        ]
        self.attendance = Attendance(wanted, charge.member.session_timeout_s)

    def attach(self) -> None:
        """Hear of every error that aiokafka gives up on, and of every task that ends."""
        self._coordinator._push_error_to_user = self._hear  # noqa: SLF001
        self._coordinator._send_req = self._guarded  # noqa: SLF001
        self._client.cluster.add_listener(self._judge_metadata)
        for task in tasks_of(self._consumer):
            task.add_done_callback(self._note_end)

    async def look(self) -> None:
        """Look at topics and members every few seconds, for ever; an outage is waited out."""
        asks: list[Callable[[], Awaitable[None]]] = [
            self._ask_topics,
            self._ask_group,
            self._ask_broker,
        ]
        while True:
            await asyncio.sleep(_LOOK_S)
            for ask in asks:
                try:
                    async with asyncio.timeout(_ANSWER_S):
                        await ask()
                except (KafkaError, OSError, TimeoutError) as error:
                    log.debug("group_unseen", message=f"the group cannot be looked at: {error!r}")

    def fail(self, error: BaseException) -> None:
        """End the process, with the setting or the right that is wrong where there is one."""
        self._charge.on_fatal(refusal(error, self._charge.member))

    async def _hear(self, error: BaseException) -> None:
        """In place of aiokafka's wait for somebody who polls."""
        if is_passing(error):
            log.warning("group_rejoined", message=f"the group is joined again after {error!r}")
            self._coordinator.request_rejoin()
            await asyncio.sleep(_REJOIN_S)
            return
        self.fail(error)
        await asyncio.wait([self._coordinator._closing])  # noqa: SLF001

    async def _guarded(self, request: Any) -> Any:
        """Send to the coordinator; a broker that cannot read it is no broker that is away."""
        try:
            answer = await self._send(request)
        except IncompatibleBrokerVersion as error:
            self.fail(error)
            raise
        instance = self._charge.member.instance
        if instance and isinstance(request, HeartbeatRequest) and answer.error_code in _REPLACED:
            self._charge.on_fatal(
                GroupError(
                    f"the group has another member named {instance!r} ([app] instance), or heard "
                    "nothing of this one for session_timeout_s: no two workers may have one name. "
                    "Nothing is lost; if this is the only one, start it again"
                )
            )
        return answer

    def _note_end(self, task: "asyncio.Task[Any]") -> None:
        if self._consumer._closed:  # noqa: SLF001
            return
        error = None if task.cancelled() else task.exception()
        if error is not None and kind_of(error) is not KafkaError:
            self.fail(error)
        name = getattr(task.get_coro(), "__name__", "a task").strip("_")
        self._charge.on_fatal(
            GroupError(
                f"the Kafka client's {name} has ended ({error or 'without an error'}); nothing is "
                "lost, start the worker again"
            )
        )

    def _judge_metadata(self, cluster: Any) -> None:
        """Called with whatever the client hears, before the group shares out what was added."""
        counts = {topic.name: cluster.partitions_for_topic(topic.name) for topic in self._declared}
        self._judge_counts({name: len(found) for name, found in counts.items() if found})

    @property
    def _declared(self) -> Sequence[DeclaredTopic]:
        return self._charge.declared

    def _judge_counts(self, counts: Mapping[str, int]) -> None:
        for topic in self._declared:
            if counts.get(topic.name, topic.partitions) != topic.partitions:
                self._refuse(topic, counts[topic.name])

    def _refuse(self, topic: DeclaredTopic, partitions: int | None) -> None:
        found = judge_topic(topic, partitions)
        self._charge.on_fatal(
            BrokerError(
                f"the topics are not as declared any more:\n  {found.topic}: {found.state}; "
                f"{found.detail}"
            )
        )

    async def _ask_topics(self) -> None:
        names = [topic.name for topic in self._declared]
        answer = await self._client.send(
            self._client.get_random_node(), MetadataRequest(names, allow_auto_topic_creation=False)
        )
        found = {topic["topic"]: topic for topic in answer.to_object()["topics"]}
        hidden = [name for name, topic in found.items() if _is_hidden(topic)]
        if hidden:
            self.fail(TopicAuthorizationFailedError(set(hidden)))
        counts = {name: len(topic["partitions"]) for name, topic in found.items()}
        self._judge_counts({name: count for name, count in counts.items() if count})
        self._judge_missing(counts, time.monotonic())

    def _judge_missing(self, counts: Mapping[str, int], now_s: float) -> None:
        for topic in self._declared:
            # The ledgers know more of what they count (agents/worker/inputs.py).
            if counts.get(topic.name) or topic.name in self._charge.reads:
                self._missing_since_s.pop(topic.name, None)
            elif now_s - self._missing_since_s.setdefault(topic.name, now_s) >= _MISSING_S:
                self._refuse(topic, None)

    async def _ask_group(self) -> None:
        coordinator = self._coordinator.coordinator_id
        if coordinator is None:
            return
        request = DescribeGroupsRequest([self._charge.member.group])
        group = (await self._client.send(coordinator, request)).groups[0]
        code, members = group[0], group[5]
        if code:
            error = for_code(code)(self._charge.member.group)
            if isinstance(error, GroupAuthorizationFailedError):
                self.fail(error)
            raise error
        self.attendance.note(owned_partitions(member[4] for member in members), time.monotonic())

    async def _ask_broker(self) -> None:
        """A password that was changed looks like a broker that is away, to aiokafka."""
        if self.attendance.is_silent(time.monotonic()):
            error = await find_error(self._charge.broker)
            if isinstance(error, SaslAuthenticationFailed | TokenError):
                self.fail(error)


def _is_hidden(topic: Mapping[str, Any]) -> bool:
    return for_code(topic["error_code"]) is TopicAuthorizationFailedError
