"""Taking a partition over: fence its earlier owners, then bring its cache up to date."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

import leverframe
from leverframe.schemas.errors import LedgerError
from leverframe.streams.runtime.lanes import (
    HopSettings,
    Lane,
    Lanes,
    lane_name,
    open_producer,
    transactional_id,
)
from leverframe.streams.runtime.ledger import LAYOUT, Ledger, LedgerSettings
from leverframe.streams.runtime.logger import make_logger
from leverframe.streams.runtime.restore import restore

__all__ = ["open_ledger", "outlast"]

log = make_logger(__name__)

Opened = TypeVar("Opened")

_PATIENCE_S: Final = 60.0
_PAUSE_S: Final = 0.5


async def open_ledger(
    settings: LedgerSettings,
    partition: int,
    lanes: Lanes | None = None,
    *,
    any_layout: bool = False,
) -> Ledger:
    """Take a partition over; its ledger is then ready to read and commit.

    ``lanes`` are those of this process; without them the ledger has one of its own. What a newer
    version wrote in a layout that this one cannot read is refused, but with ``any_layout``, for
    those who give it up.

    A broker that is away for a while is waited for; nothing has been done yet that could be half.

    Raises ``LedgerError`` if the broker refuses the transactional id, the changelog cannot be read,
    or the broker does not come back.
    """
    began = time.monotonic()
    own = lanes or Lanes(settings)
    newest = None if any_layout else LAYOUT
    ledger = await outlast(settings, partition, lambda: _attempt(settings, partition, own, newest))
    ledger.restore_seconds = time.monotonic() - began
    return ledger


async def outlast(
    settings: HopSettings, partition: int, attempt: Callable[[], Awaitable[Opened]]
) -> Opened:
    """Take a partition over by ``attempt``, again while the broker is away; ``LedgerError`` else.

    ``attempt`` leaves nothing behind where it fails.
    """
    began = time.monotonic()
    while True:
        try:
            return await attempt()
        except KafkaError as error:
            is_away = error.retriable and not isinstance(error, UnknownTopicOrPartitionError)
            if is_away and time.monotonic() - began < _PATIENCE_S:
                log.warning(
                    "broker_away",
                    message=f"{transactional_id(settings, partition)}: the broker is away "
                    f"({error!r}); trying again",
                    agent=settings.agent,
                    partition=partition,
                )
                await asyncio.sleep(_PAUSE_S)
                continue
            raise LedgerError(
                f"{transactional_id(settings, partition)}: cannot take the partition over "
                f"({error!r}). Check that the topics exist (leverframe topics check) and that this "
                "user may use transactional ids."
            ) from error


def _from_the_future(ledger: Ledger) -> LedgerError:
    found = ledger.positions
    return LedgerError(
        f"{ledger.name}: its state was written by leverframe {found.written_by}, in layout "
        f"{found.layout}; this is {leverframe.__version__}, which reads layouts up to {LAYOUT}. "
        f"Nothing was changed. Start leverframe {found.written_by} or newer again; to stay with "
        "this version, give up what was counted: leverframe restart-from"
    )


async def _attempt(
    settings: LedgerSettings, partition: int, lanes: Lanes, newest: int | None
) -> Ledger:
    lane = await lanes.enter(partition)
    try:
        return await _restored(settings, partition, lane, lanes, newest)
    except BaseException:
        # Cancelled too: the partition left while it was being restored.
        await lanes.leave(partition)
        raise


async def _restored(
    settings: LedgerSettings, partition: int, lane: Lane, lanes: Lanes, newest: int | None
) -> Ledger:
    path = settings.datadir / settings.agent / str(partition)
    fenced = {settings.lanes}
    applied = 0
    while True:
        restored = await restore(
            path, settings.memory, settings.changelog, partition, settings.broker
        )
        applied += restored.applied
        ledger = Ledger(settings, partition, restored.store, lane, lanes)
        ledger.restored, ledger.changelog_id = applied, restored.topic_id
        if newest is not None and ledger.positions.layout > newest:
            restored.store.close()
            raise _from_the_future(ledger)
        before = ledger.positions.lanes
        if before in fenced or not ledger.positions.offsets:
            return ledger
        # Another number of lanes, and so another id: its owner is fenced like any other, and may
        # have committed since.
        restored.store.close()
        fenced.add(before)
        await (await open_producer(settings, lane_name(settings, partition, before))).stop()
