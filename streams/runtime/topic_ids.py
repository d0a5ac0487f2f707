"""Which topic a name stands for: a topic that is deleted and made anew keeps its name, not its id.

aiokafka asks for metadata up to version 5; ids come with version 10 (Kafka 2.8). Lift this when
aiokafka asks for them itself.
"""

import uuid
from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

__all__ = ["read_topic_ids"]

_METADATA: Final = 3
_WITH_IDS: Final = 10
_NO_ERROR: Final = 0


class _Uuid(AbstractType[bytes]):  # type: ignore[misc] # untyped
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _MetadataResponse(Response):  # type: ignore[misc] # untyped
    API_KEY = _METADATA
    API_VERSION = _WITH_IDS
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc] # untyped
    FLEXIBLE_VERSION = True
    API_KEY = _METADATA
    API_VERSION = _WITH_IDS
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_operations", Boolean),
        ("include_topic_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc] # untyped
    API_KEY = _METADATA

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics: list[tuple[Any, ...]] = [(bytes(16), name, {}) for name in topics]

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        return request_struct_class(self._topics, False, False, False, {})  # noqa: FBT003


async def read_topic_ids(client: Any, topics: Iterable[str]) -> dict[str, str]:
    """Ask a connected AIOKafkaClient for the ids of topics; those that are missing are left out.

    A broker before Kafka 2.8 knows no ids: the answer is then empty.
    """
    try:
        answer = await client.send(client.get_random_node(), _MetadataRequest(topics))
    except NotImplementedError:
        return {}
    return {
        name: str(uuid.UUID(bytes=topic_id))
        for error, name, topic_id, *_ in answer.topics
        if error == _NO_ERROR and any(topic_id)
    }
