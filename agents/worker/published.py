"""Holds a learning ledger against ``control``: its state must not be older than what is followed.

A transaction holds the state and the messages that follow from it, so what is published is never
ahead of the ledger, unless statistics were lost, or brought back from an older copy.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from aiokafka import TopicPartition

from leverframe.agents.settings import Settings
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import LedgerError
from leverframe.schemas.signing import read_control
from leverframe.streams.learning.state import RouteState, decode_route
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.ledger import Ledger

__all__ = ["find_ahead", "refuse_old_statistics"]

# Newest records of a partition: heartbeats bring each live route back among them.
_LOOKED_AT: Final = 2_000
_CURE: Final = (
    "Subscribers ignore what is not above. With an intact [app] datadir: leverframe state rebuild. "
    "Else leverframe restart-from says what will be counted and begins above the epoch in force."
)


async def refuse_old_statistics(settings: Settings, ledger: Ledger) -> None:
    """Raise ``LedgerError`` where the newest control messages are ahead of a partition's state."""
    tp = TopicPartition(settings.topic_names.control, ledger.partition)
    messages: list[ControlMessage] = []
    async with open_consumer(settings.broker, partitions=[tp], fetch_max_wait_ms=20) as consumer:
        begin = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        if begin == end:
            return
        consumer.seek(tp, max(begin, end - _LOOKED_AT))
        while await consumer.position(tp) < end:
            fetched = await consumer.getmany(tp, timeout_ms=200)
            read = (read_control(one, settings.control_keys) for one in fetched.get(tp, ()))
            messages += [message for message in read if message is not None]
    if not ledger.positions.offsets:
        raise LedgerError(
            f"{tp.topic}-{tp.partition} holds control messages, but the statistics behind them are "
            "gone: the learning changelog was deleted or lost, or another [app] id has written "
            f"there. Epochs would begin at 0. {_CURE}"
        )
    names = sorted({message.route for message in messages})
    raw = ledger.get_many([name.encode() for name in names])
    known = {
        name: decode_route(value)
        for name, value in zip(names, raw, strict=True)
        if value is not None
    }
    ahead = find_ahead(messages, known)
    if ahead is not None:
        state = known.get(ahead.route, RouteState(ahead.route))
        raise LedgerError(
            f"{tp.topic}-{tp.partition}: route {ahead.route!r} is at epoch {ahead.epoch}, seq "
            f"{ahead.seq} there, but at {state.epoch}, {state.seq} in the statistics: they are "
            f"older than what was published, as from an old copy. {_CURE}"
        )


def find_ahead(
    messages: Iterable[ControlMessage], known: Mapping[str, RouteState]
) -> ControlMessage | None:
    """Return the newest message that is ahead of its route's state; None if there is none."""
    ahead = [
        message
        for message in messages
        if (message.epoch, message.seq) > _standing(known.get(message.route))
    ]
    return max(ahead, key=lambda message: (message.epoch, message.seq), default=None)


def _standing(state: RouteState | None) -> tuple[int, int]:
    return (0, 0) if state is None else (state.epoch, state.seq)
