"""What aiokafka's clients do when brokers go and come."""

import asyncio
from typing import Any

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, NotLeaderForPartitionError
from aiokafka.protocol.admin import ApiVersionRequest

from leverframe.serving.patches import outlive_brokers


@pytest.fixture(autouse=True)
def outliving() -> None:
    """Close the gaps, as a worker and a subscriber do."""
    outlive_brokers()


async def _reset_connection() -> tuple[AIOKafkaConnection, list[Any]]:
    """Give a connection whose transport is closed and whose reader has not said so yet."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    closed: list[Any] = []
    connection = AIOKafkaConnection("127.0.0.1", 1, on_close=lambda *told: closed.append(told))
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection._reader, connection._writer = reader, writer
    connection._read_task = asyncio.ensure_future(asyncio.sleep(3600))
    connection._closed_fut = asyncio.get_running_loop().create_future()
    writer.transport.abort()
    server.close()
    while not reader.at_eof():
        await asyncio.sleep(0)
    return connection, closed


def test_connections_that_are_closed_below_count_as_broken() -> None:
    """The client gets the error that it retries after, and the connection is given up."""

    async def sent() -> None:
        connection, closed = await _reset_connection()
        with pytest.raises(NodeNotReadyError, match="closed"):
            await connection.send(ApiVersionRequest())
        assert not connection.connected()
        assert closed

    uvloop.run(sent())


class _Client:
    """Stands for a client: its broker answers every request with an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.updates = 0

    def get_random_node(self) -> int:
        return 1

    async def send(self, *_: Any) -> Any:
        raise self.error

    def force_metadata_update(self) -> None:
        self.updates += 1


def test_a_connection_lost_under_the_question_for_a_coordinator_is_asked_again() -> None:
    """Transactional producers retry after this error and end after the other."""
    client = _Client(KafkaConnectionError("closed"))
    with pytest.raises(NodeNotReadyError):
        asyncio.run(AIOKafkaClient.coordinator_lookup(client, 1, "the-id"))


def test_who_does_not_lead_any_more_is_not_asked_for_offsets_again() -> None:
    """The metadata is refreshed, so that the next question goes to the leader."""
    client = _Client(NotLeaderForPartitionError())
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._client, fetcher._isolation_level, fetcher._fetch_task = client, 1, None
    with pytest.raises(NotLeaderForPartitionError):
        asyncio.run(fetcher._proc_offset_request(1, {"topic": [(0, -2)]}))
    assert client.updates == 1
