"""Connections that a broker resets: aiokafka's clients go on, under uvloop as under asyncio.

uvloop refuses to write to a connection that was reset a moment ago with ``RuntimeError``; asyncio
drops what is written. aiokafka takes ``OSError`` alone for a broken connection. In the few
iterations of the loop between the reset and its being noticed, that error ended the task that
keeps a client's metadata, and everything that waits for metadata waited for ever: a transaction
until its time was over, a subscriber on its safe weights. It ended producers, too. Lift this when
aiokafka catches both.
"""

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

__all__ = ["survive_resets"]

_send = AIOKafkaConnection.send


def survive_resets() -> None:
    """Let clients of this process take a closed transport for a broken connection."""
    AIOKafkaConnection.send = _sent


def _sent(
    connection: AIOKafkaConnection,
    request: Any,
    expect_response: bool = True,  # noqa: FBT001, FBT002 - aiokafka's signature
) -> Any:
    try:
        return _send(connection, request, expect_response)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
        raise KafkaConnectionError(f"the connection was closed: {error}") from error
