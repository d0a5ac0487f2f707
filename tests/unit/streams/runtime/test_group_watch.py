"""What aiokafka gives up on, and what it only seems to: by its own classes, without a broker."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition, errors
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from leverframe.schemas.errors import BrokerError, GroupError, LedgerError
from leverframe.streams.runtime.attendance import Attendance, name_partitions, owned_partitions
from leverframe.streams.runtime.group_watch import Charge, GroupWatch
from leverframe.streams.runtime.kafka import BrokerSettings
from leverframe.streams.runtime.refusals import Member, is_passing, kind_of, refusal
from leverframe.streams.topology import DeclaredTopic

MEMBER = Member(
    group="a-leverframe",
    identity="user 'worker'",
    doubt="[broker] username or password is wrong",
    session_timeout_s=2.0,
)


def quoted(error: Exception) -> errors.KafkaError:
    """As aiokafka hides what it did not expect."""
    return errors.KafkaError(f"Unexpected exception in heartbeat task: {error!r}")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.InvalidSessionTimeoutError(), "[app] session_timeout_s = 2: it must lie between"),
        (errors.GroupAuthorizationFailedError("g"), "user 'worker' may not read the group"),
        (errors.TopicAuthorizationFailedError(["t", "s"]), "user 'worker' may not read s, t: "),
        (errors.TopicAuthorizationFailedError("t"), "may not read t: allow Read"),
        (errors.InconsistentGroupProtocolError(), "has a member that is no worker"),
        (errors.InvalidGroupIdError(), "no group named 'a-leverframe': correct [topics] prefix"),
        (errors.UnsupportedVersionError(), "does not speak the group protocol"),
        (errors.IncompatibleBrokerVersion("no"), "does not speak the group protocol"),
        (errors.TransactionalIdAuthorizationFailed(), "transactional ids that begin with"),
        (errors.SaslAuthenticationFailed("no"), "[broker] username or password is wrong"),
        (errors.KafkaError(repr(errors.InvalidSessionTimeoutError())), "session_timeout_s = 2"),
        (quoted(errors.TopicAuthorizationFailedError()), "may not read"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_a_person_must_mend_is_one_line_with_the_cure(error: Exception, says: str) -> None:
    """Exit code 2: the setting or the right, and what to do."""
    told = refusal(error, MEMBER)
    assert isinstance(told, BrokerError)
    assert told.exit_code == 2
    assert says in str(told)
    assert "\n" not in str(told)
    assert not is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        # Kafka's FENCED_INSTANCE_ID and GROUP_MAX_SIZE_REACHED, which aiokafka has no names for.
        errors.for_code(82)(),
        errors.for_code(81)(),
        errors.KafkaError(repr(errors.for_code(82)())),
        errors.InvalidCommitOffsetSizeError(),
        errors.CorruptRecordException(),
        errors.KafkaError("Unexpected error during coordination AssertionError('x')"),
    ],
    ids=repr,
)
def test_what_a_new_start_may_mend_ends_the_process_with_1(error: Exception) -> None:
    """One line, nothing is lost, the platform starts it again."""
    told = refusal(error, MEMBER)
    assert isinstance(told, GroupError)
    assert told.exit_code == 1
    assert "nothing is lost" in str(told)
    assert not is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.GroupCoordinatorNotAvailableError(),
        errors.NodeNotReadyError("away"),
        errors.RebalanceInProgressError(),
        errors.KafkaError(repr(errors.RebalanceInProgressError())),
        quoted(errors.RequestTimedOutError()),
        errors.CommitFailedError("rebalanced"),
    ],
    ids=repr,
)
def test_what_may_pass_ends_nothing(error: Exception) -> None:
    """A broker that goes and comes, and a group that has moved on."""
    assert is_passing(error)


def test_an_error_of_ours_stays_what_it_is() -> None:
    """It has its text and its cure."""
    error = LedgerError("fenced")
    assert refusal(error, MEMBER) is error
    assert kind_of(errors.KafkaError("no class Here() at all")) is errors.KafkaError


# -- the watch -----------------------------------------------------------------------------------


class Coordinator:
    """What the watch touches of aiokafka's."""

    def __init__(self, send: Callable[[Any], Awaitable[Any]]) -> None:
        self._send_req = send
        self._push_error_to_user: Any = None
        self._closing = asyncio.get_running_loop().create_future()
        self._coordination_task = asyncio.create_task(asyncio.Event().wait())
        self.rejoins = 0

    def request_rejoin(self) -> None:
        self.rejoins += 1


class Client:
    """Likewise."""

    def __init__(self) -> None:
        self.cluster = ClusterMetadata()
        self._sync_task = asyncio.create_task(asyncio.Event().wait())


class Watched:
    """A watch over a consumer that is not there."""

    def __init__(self, answer: Exception | None = None) -> None:
        async def send(_: Any) -> None:
            if answer is not None:
                raise answer

        self.failures: list[BaseException] = []
        self.coordinator = Coordinator(send)
        self.client = Client()
        fetcher = SimpleNamespace(_fetch_task=asyncio.create_task(asyncio.Event().wait()))
        self.consumer = SimpleNamespace(
            _client=self.client, _coordinator=self.coordinator, _fetcher=fetcher, _closed=False
        )
        topics = [DeclaredTopic("in", 2, {}), DeclaredTopic("out", 1, {})]
        charge = Charge(
            broker=BrokerSettings(),
            member=MEMBER,
            declared=topics,
            reads=frozenset({"in", "acks"}),
            advisory=frozenset({"acks"}),
            on_fatal=self.failures.append,
        )
        self.watch = GroupWatch(self.consumer, charge)
        self.watch.attach()


def test_a_fatal_error_ends_and_a_passing_one_joins_again() -> None:
    """Aiokafka would wait for somebody who polls, in both cases."""

    async def scenario() -> None:
        watched = Watched()
        await watched.coordinator._push_error_to_user(errors.RebalanceInProgressError())
        assert (watched.failures, watched.coordinator.rejoins) == ([], 1)
        watched.coordinator._closing.set_result(None)
        await watched.coordinator._push_error_to_user(errors.InvalidGroupIdError())
        assert isinstance(watched.failures[0], BrokerError)
        assert watched.coordinator.rejoins == 1

    asyncio.run(scenario())


def test_a_broker_that_cannot_read_us_is_not_one_that_is_away() -> None:
    """Aiokafka takes both for a dead coordinator, and asks for ever."""

    async def scenario() -> None:
        old = Watched(errors.IncompatibleBrokerVersion("JoinGroup"))
        with pytest.raises(errors.IncompatibleBrokerVersion):
            await old.coordinator._send_req("a request")
        assert isinstance(old.failures[0], BrokerError)
        away = Watched(errors.NodeNotReadyError("away"))
        with pytest.raises(errors.NodeNotReadyError):
            await away.coordinator._send_req("a request")
        assert away.failures == []

    asyncio.run(scenario())


@pytest.mark.parametrize("which", ["coordination", "fetch", "sync"])
@pytest.mark.parametrize("is_closed", [False, True])
def test_a_task_that_ends_ends_the_process(which: str, is_closed: bool) -> None:
    """Whichever it is; but not where the consumer is being stopped."""

    async def scenario() -> None:
        watched = Watched()
        watched.consumer._closed = is_closed
        {
            "coordination": watched.coordinator._coordination_task,
            "fetch": watched.consumer._fetcher._fetch_task,
            "sync": watched.client._sync_task,
        }[which].cancel()
        await asyncio.sleep(0.01)
        assert len(watched.failures) == (0 if is_closed else 1)
        if not is_closed:
            assert "has ended" in str(watched.failures[0])

    asyncio.run(scenario())


def test_partitions_that_were_added_are_refused_as_they_are_heard_of() -> None:
    """Before the group shares them out; a topic of which nothing is known is no such topic."""

    async def scenario() -> None:
        watched = Watched()
        cluster = watched.client.cluster
        for partitions in ({}, {"in": {0: 0, 1: 0}}):
            cluster._partitions = partitions
            watched.watch._judge_metadata(cluster)
        assert watched.failures == []
        cluster._partitions = {"in": {0: 0, 1: 0, 2: 0}}
        watched.watch._judge_metadata(cluster)
        assert "in: wrong; has 3 partitions, the settings say 2" in str(watched.failures[0])

    asyncio.run(scenario())


def test_a_topic_that_is_missing_for_long_is_refused() -> None:
    """Whoever makes a topic anew deletes it first: some seconds are given."""

    async def scenario() -> None:
        watched = Watched()
        watched.watch._judge_missing({"in": 2}, 100.0)
        watched.watch._judge_missing({"in": 2, "out": 1}, 105.0)
        watched.watch._judge_missing({"in": 2}, 107.0)
        assert watched.failures == []
        watched.watch._judge_missing({"in": 2}, 113.1)
        assert "out: missing; create it: leverframe topics create" in str(watched.failures[0])

    asyncio.run(scenario())


# -- who reads what ------------------------------------------------------------------------------

TPS = [TopicPartition("in", 0), TopicPartition("in", 1), TopicPartition("other", 0)]


def test_partitions_are_known_by_the_assignments_of_the_members() -> None:
    """As the broker keeps them; in a rebalance it keeps none."""
    one = ConsumerProtocolMemberAssignment(0, [("in", [0, 1])], b"").encode()
    two = ConsumerProtocolMemberAssignment(0, [("other", [0])], b"").encode()
    assert owned_partitions([one, two, b""]) == set(TPS)
    assert name_partitions(TPS) == "partitions 0, 1 of in, partition 0 of other"


def test_a_partition_may_be_without_a_reader_for_a_session() -> None:
    """Who begins is not ready before all are read; who was is not for longer than a session."""
    attendance = Attendance(TPS, 6.0)
    assert attendance.why_unread(0.0) == "the group was not heard of yet"
    attendance.note(TPS[:1], 1.0)
    unread = "no member reads partition 1 of in, partition 0 of other"
    assert attendance.why_unread(1.0) == unread
    attendance.note(TPS, 2.0)
    assert attendance.why_unread(2.0) is None
    for now_s in (4.0, 6.0, 10.0):
        attendance.note(TPS[1:], now_s)
        assert attendance.why_unread(now_s) is None
    attendance.note(TPS[1:], 10.1)
    assert attendance.why_unread(10.1) == "no member reads partition 0 of in"
    attendance.note(TPS, 11.0)
    assert attendance.why_unread(16.0) is None
    assert attendance.why_unread(18.0) == "the broker has not spoken of the group for 7 s"
    assert attendance.is_silent(18.0)
