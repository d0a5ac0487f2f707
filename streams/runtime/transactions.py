"""One Kafka transaction: its records packed by partition, published together or not at all."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from aiokafka import TopicPartition
from aiokafka.errors import IllegalOperation

__all__ = ["Target", "Transaction"]

Target: TypeAlias = tuple[str, int]
"""Topic and partition."""


class Transaction:
    """Records that are published together or not at all, by a transactional producer."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._batches: defaultdict[Target, list[Any]] = defaultdict(list)

    def add_all(self, target: Target, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Add many records to one partition; what ``add`` does for one, in one loop."""
        append = self._new_batch(target)
        for key, value in entries:
            if append(timestamp=None, key=key, value=value) is None:
                append = self._new_batch(target)
                append(timestamp=None, key=key, value=value)

    def add(
        self,
        target: Target,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
        timestamp_ms: int | None = None,
    ) -> None:
        """Add a record to a partition; its time is the present when left out."""
        built = self._batches[target]
        record = {"timestamp": timestamp_ms, "key": key, "value": value, "headers": headers}
        if not built or built[-1].append(**record) is None:
            self._new_batch(target)(**record)

    def _new_batch(self, target: Target) -> Callable[..., Any]:
        batch = self._producer.create_batch()
        self._batches[target].append(batch)
        append: Callable[..., Any] = batch.append
        return append

    def join(self, other: "Transaction") -> None:
        """Take all that another one of the same producer holds, behind what is there."""
        for target, built in other._batches.items():  # noqa: SLF001 - its own kind
            self._batches[target] += built

    async def run(
        self, group: str = "", offsets: Mapping[Any, Any] | None = None
    ) -> Mapping[Target, int]:
        """Begin, send everything, commit; return the offset after the last record, by partition.

        ``offsets`` are committed for ``group`` with it, by aiokafka's structures.
        """
        producer = self._producer
        await producer.begin_transaction()
        self._add_partitions()
        try:
            ends = await asyncio.gather(*(self._send(*each) for each in self._batches.items()))
            if offsets:
                await producer.send_offsets_to_transaction(offsets, group)
            await producer.commit_transaction()
        except IllegalOperation as error:
            raise self._reason(error) from error
        return dict(zip(self._batches, ends, strict=True))

    def _reason(self, error: Exception) -> BaseException:
        """Why the transaction is over already: aiokafka's own task may be told before a send is.

        To be fenced, mostly; the send only says that there is no transaction.
        """
        over = self._producer._txn_manager._transaction_waiter  # noqa: SLF001 - kept nowhere else
        is_told = over is not None and over.done() and not over.cancelled()
        return (over.exception() if is_told else None) or error

    def _add_partitions(self) -> None:
        """Tell the coordinator of all partitions at once, before the first of them is written.

        A broker that verifies a write (Kafka 3.6 and later) while the coordinator takes note of
        more refuses it with ``NotEnoughReplicas``, and aiokafka tries again after 100 ms.
        """
        manager = self._producer._txn_manager  # noqa: SLF001 - it adds them one by one itself
        for target in self._batches:
            manager.maybe_add_partition_to_txn(TopicPartition(*target))

    async def _send(self, target: Target, built: list[Any]) -> int:
        topic, partition = target
        futures = [
            (await self._producer.send_batch(batch, topic, partition=partition), batch)
            for batch in built
        ]
        end = 0
        for future, batch in futures:
            metadata = await future
            end = metadata.offset + batch.record_count()
        return end
