import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from patience import PATIENCE_S

from leverframe.devbroker.assets import cache_root
from leverframe.devbroker.broker import RunningBroker, find_broker, start_broker
from leverframe.devbroker.processes import start_mark, terminate, wait_until
from leverframe.schemas.errors import BrokerError

if TYPE_CHECKING:
    from conftest import BrokerAddress

pytestmark = pytest.mark.broker

COMMAND = [sys.executable, "-c", "from leverframe.agents.cli.broker import broker; broker()"]


async def create_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def read(bootstrap: str, topic: str, count: int, **options: Any) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", **options
    )
    await consumer.start()
    try:
        return [(await asyncio.wait_for(consumer.getone(), PATIENCE_S)).value for _ in range(count)]
    finally:
        await consumer.stop()


def within_patience(work: Awaitable[Any]) -> Any:
    async def run() -> Any:
        return await asyncio.wait_for(work, PATIENCE_S)

    return asyncio.run(run())


def start_here(data_dir: Path, **options: Any) -> RunningBroker:
    arguments: dict[str, Any] = {"port": None, "detached": False, **options}
    return start_broker(data_dir=data_dir, cache=cache_root(), report=lambda _: None, **arguments)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """Give a folder for a broker; a broker that still runs on it at the end is stopped."""
    yield tmp_path / "data"
    if left := find_broker(tmp_path / "data"):
        left.stop()


@pytest.mark.parametrize("compression", [None, "gzip", "snappy", "lz4", "zstd"])
def test_records_come_back_whatever_their_compression(
    broker: "BrokerAddress", unique_prefix: str, compression: str | None
) -> None:
    """What was produced with each codec is consumed unchanged, in order."""
    topic = f"{unique_prefix}codec"
    sent = [f"{index} {'x' * 200}".encode() for index in range(100)]

    async def round_trip() -> list[bytes]:
        await create_topic(broker.bootstrap, topic)
        producer = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap, compression_type=compression
        )
        await producer.start()
        try:
            for value in sent:
                await producer.send(topic, value)
        finally:
            await producer.stop()
        return await read(broker.bootstrap, topic, len(sent))

    assert within_patience(round_trip()) == sent


def test_read_committed_sees_committed_transactions_only(
    broker: "BrokerAddress", unique_prefix: str
) -> None:
    """An aborted transaction is never seen, a committed one is."""
    topic = f"{unique_prefix}transactions"

    async def transact() -> list[bytes]:
        await create_topic(broker.bootstrap, topic)
        producer = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap, transactional_id=f"{unique_prefix}producer"
        )
        await producer.start()
        try:
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"aborted")
            await producer.abort_transaction()
            async with producer.transaction():
                await producer.send_and_wait(topic, b"committed")
        finally:
            await producer.stop()
        return await read(broker.bootstrap, topic, 1, isolation_level="read_committed")

    assert within_patience(transact()) == [b"committed"]


def test_consumer_group_commits_are_kept(broker: "BrokerAddress", unique_prefix: str) -> None:
    """A group goes on where it stopped."""
    topic = f"{unique_prefix}group"

    async def read_twice() -> list[bytes]:
        await create_topic(broker.bootstrap, topic)
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
        await producer.start()
        try:
            for value in (b"first", b"second"):
                await producer.send_and_wait(topic, value)
        finally:
            await producer.stop()
        options = {"group_id": f"{unique_prefix}readers", "max_poll_records": 1}
        first = await read(broker.bootstrap, topic, 1, **options)
        return first + await read(broker.bootstrap, topic, 1, **options)

    assert within_patience(read_twice()) == [b"first", b"second"]


@pytest.mark.drill
def test_topics_outlive_a_restart_on_another_port(data_dir: Path, unique_prefix: str) -> None:
    """The data folder is the broker: stop and start lose nothing."""
    topic = f"{unique_prefix}kept"

    async def write(bootstrap: str) -> None:
        await create_topic(bootstrap, topic)
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
        await producer.start()
        try:
            await producer.send_and_wait(topic, b"kept")
        finally:
            await producer.stop()

    first = start_here(data_dir)
    within_patience(write(first.bootstrap))
    assert first.stop()
    assert not first.is_running()
    second = start_here(data_dir)
    assert second.bootstrap != first.bootstrap
    assert within_patience(read(second.bootstrap, topic, 1)) == [b"kept"]


def test_port_of_a_running_broker_is_refused(data_dir: Path, tmp_path: Path) -> None:
    """A second broker on the same port or folder is refused, with who has it; the first goes on."""
    first = start_here(data_dir)
    with pytest.raises(BrokerError, match="is taken by a Kafka broker"):
        start_here(tmp_path / "other", port=first.state.port)
    with pytest.raises(BrokerError, match=rf"already, at {first.bootstrap}"):
        start_here(data_dir)
    assert first.is_running()


def test_failed_start_shows_what_kafka_said(data_dir: Path) -> None:
    """A setting that Kafka refuses ends in its own words, and nothing is left running."""
    start_here(data_dir).stop()
    with pytest.raises(BrokerError, match=r"(?s)ended while it started.*num\.io\.threads"):
        start_here(data_dir, extra_properties={"num.io.threads": "none"})
    assert find_broker(data_dir) is None
    with pytest.raises(BrokerError, match=r"(?s)could not format.*num\.io\.threads"):
        start_here(data_dir / "new", extra_properties={"num.io.threads": "none"})


def test_commands_in_other_processes_find_and_stop_the_broker(data_dir: Path) -> None:
    """Two starts at once give one broker; status and stop from other processes find it."""

    def command(*words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*COMMAND, *words, "--json", "--data-dir", str(data_dir)],
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(process: "subprocess.Popen[str]", exit_code: int = 0) -> dict[str, Any]:
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == exit_code
        facts: dict[str, Any] = json.loads(output)
        return facts

    starts = [command("start", "--port", "0") for _ in range(2)]
    first, second = (answer(each) for each in starts)
    assert first["pid"] == second["pid"]
    assert {first["already_running"], second["already_running"]} == {True, False}
    mark = start_mark(first["pid"])
    status = answer(command("status"))
    assert status["answers"]
    assert status["bootstrap"] == first["bootstrap"]
    assert answer(command("stop"))["stopped_pid"] == first["pid"]
    assert start_mark(first["pid"]) != mark
    assert not answer(command("status"), exit_code=1)["running"]


def test_foreground_broker_ends_with_its_command(data_dir: Path) -> None:
    """Told to end, the command stops its broker and ends well."""
    words = ["start", "--foreground", "--json", "--port", "0", "--data-dir", str(data_dir)]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        facts = json.loads(process.stdout.readline())
        mark = start_mark(facts["pid"])
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert start_mark(facts["pid"]) != mark


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (Linux)")
def test_broker_does_not_outlive_an_owner_that_is_killed(data_dir: Path) -> None:
    """Not even SIGKILL of the process that started it leaves a broker behind."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from leverframe.devbroker.assets import cache_root\n"
        "from leverframe.devbroker.broker import start_broker\n"
        "start_broker(data_dir=Path(sys.argv[1]), port=None, cache=cache_root(), report=print,\n"
        "             detached=False)\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    words = [sys.executable, "-c", code, str(data_dir)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        assert any(line == "ready\n" for line in owner.stdout)
        left = find_broker(data_dir)
        assert left
        os.kill(owner.pid, signal.SIGKILL)
    try:
        assert wait_until(lambda: not left.is_running(), PATIENCE_S)
    finally:
        terminate(left.pid, left.state.start_mark, 0)
