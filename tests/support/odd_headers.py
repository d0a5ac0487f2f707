"""Records whose header keys are not UTF-8, as producers built on librdkafka can write them."""

from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy


class RawKey(str):
    """A header key that encodes to bytes that are not UTF-8."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:  # type: ignore[override] # that is the point
        return b"\xff\xfe"


async def send_odd(
    servers: str, topic: str, partition: int, key: bytes, value: bytes | None, at_ms: int
) -> None:
    """Write one record with such a header, by aiokafka's builder in Python, which asks the key."""
    builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 1_000_000)
    builder.append(0, at_ms, key, value, [(RawKey("k"), b"v")])
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        batch: Any = producer.create_batch()
        batch._builder, batch._relative_offset, batch._closed = builder, 1, False
        await (await producer.send_batch(batch, topic, partition=partition))
