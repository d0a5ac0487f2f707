"""A Faust transport that hands over whole fetches: one Faust event is one micro-batch.

Faust's cost is per event, about 55 microseconds; with one event for each fetch of each partition it
vanishes (DESIGN.md section 5, docs/adr/0004-micro-batches.md). The transport keeps Faust's group
membership, rebalancing, flow control and agents, and changes what stands in the way:

- ``getmany`` yields one message per partition and slice; its value is the list of raw records
  and its offset that of the last one.
- Offsets: a partition is handled in order by one task, so "highest acknowledged + 1" is the whole
  truth. Faust's gap bookkeeping (faust-streaming#401 family) would commit one micro-batch at a
  time.
- Faust forgets acknowledged offsets before the commit of a revocation (#502): commit first.
- Halves of a pair must lie on one worker: partitions are assigned by range, which gives equally
  partitioned topics to the same member (``assignor``).
- Input is read committed, since our own ``rewards`` are transactional.
- What cannot go on ends the process (``group_watch``): Faust would log it, or never hear of it.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import faust
import faust.streams
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from leverframe.schemas.errors import LeverframeError
from leverframe.streams.runtime.group_watch import Charge, GroupWatch
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.runtime.partition import Reading
from leverframe.streams.runtime.refusals import is_passing
from leverframe.streams.runtime.slices import slices

__all__ = [
    "MicrobatchConsumer",
    "MicrobatchSchema",
    "MicrobatchTransport",
    "check_faust",
]

log = make_logger(__name__)

# A fetch waits so long, or for so many bytes: answered at the first record, fetches come by the
# record, and what each costs delays them all.
FETCH_WAIT_MS: Final = 10
FETCH_LEAST_BYTES: Final = 1 << 16
FETCH_BYTES: Final = 1 << 20
_UNOPENED_S: Final = 0.02


def check_faust() -> None:
    """Raise ``LeverframeError`` where Faust's compiled stream iterator is missing.

    The pure-Python one acknowledges events that were skipped in a rebalance, unprocessed.
    """
    if getattr(faust.streams, "_CStreamIterator", None) is None:
        raise LeverframeError(
            "Faust's compiled stream iterator is missing. Unset NO_CYTHON and reinstall "
            "faust-streaming from a wheel for this Python."
        )


class MicrobatchSchema(faust.Schema[Any, Any]):
    """Passes a list of raw records through undecoded."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> Any:
        """Return the key of the last record."""
        del app, kwargs
        return message.key

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Any:
        """Return the list of records."""
        del app, kwargs
        return message.value


class MicrobatchThread(AIOKafkaConsumerThread):
    """The consumer's thread, reading committed data in large fetches.

    ``watch`` is set once the consumer has started, where the transport has a charge.
    """

    watch: GroupWatch | None = None

    async def on_start(self) -> None:
        """Start the consumer, and watch over it."""
        await super().on_start()
        charge: Charge | None = cast("Any", self.consumer.transport).charge
        if charge is not None:
            self.watch = GroupWatch(self._ensure_consumer(), charge)
            self.watch.attach()
            self.add_future(self.watch.look())

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; where the group has moved on, what was done is read again and skipped."""
        mine = self.assignment()
        own = {tp: offset for tp, offset in offsets.items() if tp in mine}
        self.tp_last_committed_at.update(dict.fromkeys(own, time.monotonic()))
        try:
            await self._ensure_consumer().commit(
                {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in own.items()}
            )
        except IllegalStateError:
            return False
        except KafkaError as error:
            if not is_passing(error):
                self._fail(error)
            return False
        return True

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._fetch_records(*args, **kwargs)
        except KafkaError as error:
            self._fail(error)
            return {}

    def _fail(self, error: KafkaError) -> None:
        if self.watch is None:
            raise error
        self.watch.fail(error)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        self._assignor = cast("Any", self.consumer.transport).assignor
        # Faust has no settings for these; aiokafka reads them when it starts.
        consumer._partition_assignment_strategy = (self._assignor,)  # noqa: SLF001
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        consumer._fetch_min_bytes = FETCH_LEAST_BYTES  # noqa: SLF001
        charge: Charge | None = cast("Any", self.consumer.transport).charge
        if charge is not None and charge.broker.rack:
            consumer._client_rack = charge.broker.rack  # noqa: SLF001
        consumer._max_partition_fetch_bytes = FETCH_BYTES  # noqa: SLF001
        return consumer

    async def seek_to_committed(self) -> Any:
        """Go back, also where nothing was committed: what a rebalance dropped is read again."""
        return await self.call_thread(self._seek_back)

    async def seek_here(self, tp: TP, offset: int) -> None:
        """Go to an offset, in this thread: Faust does it in the application's.

        There it would take a fetch away from the reader that is unpacking it, which ends with a
        ``KeyError`` or takes the seek back.
        """
        self._ensure_consumer().seek(tp, offset)

    async def _seek_back(self) -> Any:
        committed = await (consumer := self._ensure_consumer()).seek_to_committed()
        if new := [tp for tp, offset in committed.items() if not offset]:
            await consumer.seek_to_beginning(*new)
        return committed


class MicrobatchConsumer(Consumer):
    """Yields micro-batches and commits what was acknowledged, no more and no less."""

    transport: "MicrobatchTransport"
    _thread: MicrobatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fetched: dict[TP, int] = {}
        # Nothing is fetched of a partition before its ledger has said from where.
        self._unopened: set[TP] = set()
        self._begins: dict[TP, int] = {}

    def _new_consumer_thread(self) -> MicrobatchThread:
        return MicrobatchThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch, and yield one message per partition and slice.

        Its value is the list of raw records.
        """
        records, active = await self._wait_next_records(timeout)
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            try:
                await self.perform_seek()
            except Exception as error:  # noqa: BLE001 - a rebalance took the partitions meanwhile
                # A new assignment starts from what was committed; the ledger skips what it counted.
                log.info("seek_put_off", message=f"no seek while the group rebalances: {error!r}")
            return
        generation = self.app.consumer_generation_id
        for tp, message in self._messages(records, generation):
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            if active is None or tp in active or tp in self._buffered_partitions:
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, message

    async def begin_at(self, begins: Mapping[TP, int]) -> None:
        """Fetch these partitions from now on, from their ledgers' positions.

        Nothing is done for partitions that a rebalance took, or gave anew, meanwhile.
        """
        held = self._unopened
        for tp, offset in begins.items():
            self._begins[tp] = offset
            await self.seek(tp, offset)
            if self._unopened is not held:
                return
        held.difference_update(begins)

    async def _seek(self, partition: TP, offset: int) -> None:
        await self._thread.call_thread(self._thread.seek_here, partition, offset)

    async def perform_seek(self) -> None:
        """Go where Faust wants to, and then where the ledgers say."""
        await super().perform_seek()
        for tp, offset in list(self._begins.items()):
            if tp in self.assignment():
                await self.seek(tp, offset)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        opened = (active_partitions or set()) - self._unopened
        if not opened:
            await self.sleep(min(timeout, _UNOPENED_S))
            return {}
        return await super()._getmany(opened, timeout)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Hold new partitions back until their ledgers are open."""
        self._unopened, self._begins = set(assigned), {}
        await super().on_partitions_assigned(assigned, generation_id)

    def _messages(
        self, records: Mapping[TP, Sequence[Any]], generation: int
    ) -> Iterator[tuple[TP, Any]]:
        for tp, fetched in records.items():
            self.fetched[tp] = fetched[-1].offset + 1
            for part in slices(fetched):
                last = part[-1]
                yield (
                    tp,
                    ConsumerMessage(
                        last.topic,
                        last.partition,
                        last.offset,
                        last.timestamp / 1000.0,
                        last.timestamp_type,
                        [],
                        last.key,
                        cast("Any", part),
                        None,
                        tp=tp,
                        generation_id=generation,
                    ),
                )

    def reading_of(self, tp: TP) -> Reading:
        """Return how far an assigned partition is read; callable from the application's thread."""
        subscription = self._subscription().subscription
        assignment = None if subscription is None else subscription.assignment
        state = None if assignment is None else assignment.state_value(tp)
        if state is None:
            return Reading(None, False, self.fetched.get(tp, 0))  # noqa: FBT003 - its fields
        end = state.highwater
        is_read = end is not None and state.has_valid_position and state.position >= end
        return Reading(end, is_read, self.fetched.get(tp, 0))

    def why_unread(self) -> str | None:
        """Say which inputs of the group have had no reader for too long; None where all have."""
        watch = self._thread.watch
        return None if watch is None else watch.attendance.why_unread(time.monotonic())

    def stay_in_group(self) -> None:
        """Tell aiokafka that somebody is there: it leaves the group when nobody fetches.

        A spare worker has no partition to fetch from, and one that restores for long does not fetch
        either; both would leave after ``broker_max_poll_interval`` and never come back.
        """
        with self._subscription().fetch_context():
            pass

    def _subscription(self) -> Any:
        consumer = self._thread._ensure_consumer()  # noqa: SLF001 - Faust offers no way to these
        return consumer._subscription  # noqa: SLF001

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Keep no gaps: offsets between two micro-batches hold no records of ours."""

    def _new_offset(self, tp: TP) -> int | None:
        acked = self._acked[tp]
        if not acked:
            return None
        highest: int = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return highest + 1

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is acknowledged before Faust forgets it."""
        if not self.should_stop:
            if self.transport.before_revocation is not None:
                self.transport.before_revocation(revoked)
            await self.commit()
        for tp in revoked:
            self.fetched.pop(tp, None)
            self._buffered_partitions.discard(tp)
        await super().on_partitions_revoked(revoked)


class MicrobatchTransport(Transport):
    """Faust transport of micro-batches; set ``app.transport`` to one."""

    Consumer = MicrobatchConsumer
    # Who reads what; both are set before the consumer starts.
    assignor: type[RangePartitionAssignor] = RangePartitionAssignor
    # What the consumer is watched over for.
    charge: Charge | None = None
    # Called with the partitions that leave, before Faust waits for their work to end.
    before_revocation: Callable[[Iterable[TP]], None] | None = None
