"""Brokers that go and come: aiokafka's clients live through it, under uvloop as under asyncio.

Three gaps of aiokafka 0.14, each seen in a drill; lift what it closes itself.

- uvloop refuses to write to a connection that was reset a moment ago with ``RuntimeError``, where
  asyncio drops what is written; aiokafka takes ``OSError`` alone for a broken connection. In the
  few iterations of the loop before the reset is noticed, that error ended the task that keeps a
  client's metadata, and what waits for metadata waited for ever: a transaction until its time was
  over, a subscriber on its safe weights. It ended producers, too.
- A connection that breaks under the question for a coordinator ends a transactional producer.
- A consumer that looks for the end of a partition asks the broker that led it before, until its
  metadata grows old (5 minutes), though that broker says that it does not lead any more.
"""

from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError

__all__ = ["outlive_brokers"]

_send = AIOKafkaConnection.send
_look_up = AIOKafkaClient.coordinator_lookup
_ask_offsets = Fetcher._proc_offset_request  # noqa: SLF001 - the gap is there


def outlive_brokers() -> None:
    """Close the gaps for all clients of this process."""
    AIOKafkaConnection.send = _sent
    AIOKafkaClient.coordinator_lookup = _looked_up
    Fetcher._proc_offset_request = _asked_offsets  # noqa: SLF001


def _sent(
    connection: AIOKafkaConnection,
    request: Any,
    expect_response: bool = True,  # noqa: FBT001, FBT002 - aiokafka's signature
) -> Any:
    try:
        return _send(connection, request, expect_response)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
        raise NodeNotReadyError(f"the connection was closed: {error}") from error


async def _looked_up(client: AIOKafkaClient, kind: Any, key: str) -> Any:
    try:
        return await _look_up(client, kind, key)
    except KafkaConnectionError as error:
        raise NodeNotReadyError(f"no answer to who coordinates {key}: {error}") from error


async def _asked_offsets(fetcher: Fetcher, node_id: int, topic_data: Any) -> Any:
    try:
        return await _ask_offsets(fetcher, node_id, topic_data)
    except KafkaError as error:
        if getattr(error, "invalid_metadata", False):
            fetcher._client.force_metadata_update()  # noqa: SLF001
        raise
