"""Follows ``route-settings``: what was applied while the job runs holds for the join too.

Learning has what was applied in its states, and writes the topic. The join has no state of a
route, so it follows the topic; no partition of it opens before the topic was read to its end.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from leverframe.agents.settings import Settings
from leverframe.schemas.codec import decode, encode
from leverframe.schemas.errors import ControlError, RecordError
from leverframe.schemas.route_settings import AppliedSettings
from leverframe.schemas.signing import SIGNATURE_HEADER, check_signature, signature_of
from leverframe.streams.routes.applied import RoutesInForce, stored_form
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.ledger import Output
from leverframe.streams.runtime.logger import make_logger

__all__ = ["SettingsFollower", "applied_output", "read_applied"]

log = make_logger()

_RETRY_S: Final = 1.0


def applied_output(
    applied: AppliedSettings, topic: str, partition: int, secret: bytes | None
) -> Output:
    """Return applied settings as an output, keyed by route, signed if there is a secret."""
    key, value = applied.route.encode(), encode(applied)
    headers = []
    if secret is not None:
        headers.append((SIGNATURE_HEADER, signature_of(topic, key, value, secret)))
    return Output(topic, partition, key, value, headers)


def read_applied(record: Any, secrets: Sequence[bytes]) -> AppliedSettings | None:
    """Read a record of the topic; None for a tombstone.

    Raises ``ControlError`` or ``RecordError`` where it is forged, unsigned or unreadable.
    """
    if record.value is None:
        return None
    check_signature(record, secrets)
    applied = decode(AppliedSettings, record.value)
    if applied.route.encode() != record.key:
        raise RecordError("invalid", f"key {record.key!r:.80} is not its route {applied.route!r}")
    return applied


class SettingsFollower:
    """Keeps ``in_force`` as the topic says; a fault that does not pass ends the process."""

    def __init__(
        self,
        settings: Settings,
        in_force: RoutesInForce,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._topic = settings.topic_names.route_settings
        self._in_force = in_force
        self._on_failure = on_failure
        self._has_caught_up = asyncio.Event()

    async def caught_up(self) -> None:
        """Wait until the topic was read to the end that it had when the worker started."""
        await self._has_caught_up.wait()

    async def follow(self) -> None:
        """Follow for ever; an outage of the broker is waited out."""
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError) as error:
                log.warning(
                    "route_settings_unreadable",
                    message=f"{self._topic} cannot be read: {error!r}; trying again",
                )
                await asyncio.sleep(_RETRY_S)
            except Exception as error:  # noqa: BLE001 - the join would go on with other settings
                self._on_failure(error)
                return

    async def _follow(self) -> None:
        partitions = [
            TopicPartition(self._topic, partition)
            for partition in range(self._settings.topics.route_partitions)
        ]
        consuming = open_consumer(
            self._settings.broker,
            partitions=partitions,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=500,
        )
        async with consuming as consumer:
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            while True:
                if not self._has_caught_up.is_set():
                    at = {tp: await consumer.position(tp) for tp in partitions}
                    if all(at[tp] >= ends[tp] for tp in partitions):
                        self._has_caught_up.set()
                fetched = await consumer.getmany(timeout_ms=200)
                for records in fetched.values():
                    for record in records:
                        self._take(record)

    def _take(self, record: Any) -> None:
        route = (record.key or b"").decode("utf-8", "replace")
        try:
            applied = read_applied(record, self._settings.control_keys)
        except (ControlError, RecordError) as error:
            log.warning(
                "route_settings_refused",
                message=f"settings of route {route!r} are refused, the ones before hold: {error}",
                route=route,
            )
            return
        raw = b"" if applied is None else stored_form(applied)
        self._in_force.follow(route, raw)
        if applied is None or not raw:
            return
        log.info(
            "route_settings_applied",
            message=f"route {route!r} has settings applied by {applied.actor!r}",
            route=route,
            actor=applied.actor,
        )
