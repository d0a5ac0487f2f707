"""What workers never read since it was removed before: kept in each ledger, and told for long."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from aiokafka import TopicPartition

from leverframe.agents.doctor.findings import Finding, fault, warning
from leverframe.streams.runtime.connect import TIMEOUT_MS
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.kafka import BrokerSettings
from leverframe.streams.runtime.ledger import POSITIONS_KEY, Loss, Positions

__all__ = ["add_losses", "judge_losses", "read_losses"]

CHECK: Final = "losses"
_PATIENCE_S: Final = 5.0
# Each commit ends with its positions; aborted ones may lie between.
_LOOKED_AT: Final = 200
_FAULT_MS: Final = 24 * 3600 * 1000
_TOLD_MS: Final = 30 * _FAULT_MS


async def read_losses(broker: BrokerSettings, changelogs: Mapping[str, int]) -> dict[str, Loss]:
    """Return what the newest positions in the changelogs, with their partition counts, tell.

    Nothing of a partition that cannot be read in a few seconds.
    """
    tps = [TopicPartition(name, p) for name, count in changelogs.items() for p in range(count)]
    newest: dict[TopicPartition, bytes] = {}
    if not tps:
        return {}
    consuming = open_consumer(
        broker, partitions=tps, fetch_max_wait_ms=50, request_timeout_ms=TIMEOUT_MS
    )
    async with consuming as consumer:
        begins, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        for tp in tps:
            consumer.seek(tp, max(begins[tp], ends[tp] - _LOOKED_AT))
        waiting = {tp for tp in tps if ends[tp] > begins[tp]}
        deadline = time.monotonic() + _PATIENCE_S
        while waiting and time.monotonic() < deadline:
            for tp, records in (await consumer.getmany(*waiting, timeout_ms=100)).items():
                positions = [one.value for one in records if one.key == POSITIONS_KEY]
                if positions:
                    newest[tp] = positions[-1]
            waiting -= {tp for tp in waiting if await consumer.position(tp) >= ends[tp]}
    return add_losses(newest.values())


def add_losses(positions: Iterable[bytes]) -> dict[str, Loss]:
    """Return the losses of many partitions together, by topic."""
    told: dict[str, Loss] = {}
    for raw in positions:
        for topic, loss in msgspec.msgpack.decode(raw, type=Positions).lost.items():
            before = told.get(topic, Loss())
            told[topic] = Loss(before.count + loss.count, max(before.newest_ms, loss.newest_ms))
    return told


def judge_losses(losses: Mapping[str, Loss], now_ms: int) -> Iterator[Finding]:
    """Tell of losses: a fault for a day, a warning for a month."""
    for topic, loss in losses.items():
        age_ms = now_ms - loss.newest_ms
        if age_ms > _TOLD_MS:
            continue
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(loss.newest_ms / 1000))
        tell = fault if age_ms <= _FAULT_MS else warning
        yield tell(
            CHECK,
            topic,
            f"{loss.count:,} records were lost to retention before they were read, the newest were "
            f"missed at {at}",
            "Keep the topic longer than any outage of the workers; send what matters again",
        )
