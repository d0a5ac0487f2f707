"""What a client does with a connection that its broker has just reset."""

import asyncio
from typing import Any

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from serving.connections import survive_resets


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
    survive_resets()

    async def sent() -> None:
        connection, closed = await _reset_connection()
        with pytest.raises(KafkaConnectionError, match="closed"):
            await connection.send(ApiVersionRequest())
        assert not connection.connected()
        assert closed

    uvloop.run(sent())


def test_survive_resets_may_be_called_again() -> None:
    """Each part of a process that makes clients calls it; only one wrapper comes of that."""
    survive_resets()
    first = AIOKafkaConnection.send
    survive_resets()
    assert AIOKafkaConnection.send is first
