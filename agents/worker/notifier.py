"""Tells a webhook of rollbacks, held ramps and alarms; at least once, through a group of its own.

The workers share the partitions of ``control`` in a consumer group that commits what was
delivered, so neither a restart nor a webhook that is away loses a notification.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from leverframe.agents.settings import NotificationSettings, Settings
from leverframe.agents.worker.notices import Notice, body_of, notice_of, signature_of
from leverframe.schemas.signing import read_control
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.logger import make_logger

__all__ = ["Notifier"]

log = make_logger()

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0
_GIVE_UP_S: Final = 3600.0
_ANSWER_S: Final = 10.0
_COMMIT_S: Final = 5.0
_RETRY_S: Final = 5.0
# Asked to come again; other refusals (4xx) would be the same the next time.
_COME_AGAIN: Final = frozenset({408, 425, 429})


class Notifier:
    """Follows ``control`` and posts to ``notifications.url``, which is set.

    ``clock_s`` gives seconds since the epoch.
    """

    def __init__(self, settings: Settings, clock_s: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._how: NotificationSettings = settings.notifications
        self._clock_s = clock_s

    async def follow(self) -> None:
        """Deliver for ever; an outage of the broker is waited out."""
        while True:
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 - no webhook may end the job
                log.warning(
                    "notifications_unreadable", message=f"notifications: {error!r}; trying again"
                )
                await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> None:
        settings = self._settings
        consuming = open_consumer(
            settings.broker,
            settings.topic_names.control,
            group_id=f"{settings.topics.prefix}{settings.app.id}-notifications",
            # No notifications of the past when they are switched on.
            auto_offset_reset="latest",
            # A webhook may be away for long; the partition stays here meanwhile.
            max_poll_interval_ms=round(2 * _GIVE_UP_S * 1000),
        )
        answering = aiohttp.ClientTimeout(total=_ANSWER_S)
        async with consuming as consumer, aiohttp.ClientSession(timeout=answering) as session:
            committed_s = time.monotonic()
            while True:
                delivered = await self._deliver_some(consumer, session)
                if delivered or time.monotonic() - committed_s > _COMMIT_S:
                    committed_s = time.monotonic()
                    await consumer.commit()

    async def _deliver_some(self, consumer: Any, session: aiohttp.ClientSession) -> int:
        delivered = 0
        fetched = await consumer.getmany(timeout_ms=1000, max_records=200)
        for records in fetched.values():
            for record in records:
                try:
                    notice = self._notice_in(record)
                    if notice is not None:
                        await self.deliver(notice, session)
                        delivered += 1
                except Exception:
                    # It would be met again at every start, and nothing behind it delivered.
                    log.exception(
                        "notification_given_up",
                        message=f"the notification of {record.topic}-{record.partition} "
                        f"at {record.offset} is given up",
                    )
        return delivered

    def _notice_in(self, record: Any) -> Notice | None:
        message = read_control(record, self._settings.control_keys)
        notice = None if message is None else notice_of(message)
        return notice if notice is not None and notice.event in self._how.events else None

    async def deliver(self, notice: Notice, session: aiohttp.ClientSession) -> bool:
        """Post until it is taken, refused for good, or an hour has passed; say if it was taken."""
        body = body_of(notice, self._how.format)
        about = {"route": notice.message.route, "notification": notice.id}
        began_s, wait_s = time.monotonic(), _FIRST_WAIT_S
        while True:
            trouble = await self._post(body, notice, session)
            if trouble is None:
                log.info("notification_sent", message=f"notified of {notice.id}", **about)
                return True
            why, is_final = trouble
            if is_final or time.monotonic() - began_s > _GIVE_UP_S:
                log.error(
                    "notification_given_up",
                    message=f"the webhook did not take {notice.id}: {why}; it is given up",
                    **about,
                )
                return False
            log.warning(
                "notification_delayed",
                message=f"the webhook did not take {notice.id}: {why}; again in {wait_s:g} s",
                **about,
            )
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _post(
        self, body: bytes, notice: Notice, session: aiohttp.ClientSession
    ) -> tuple[str, bool] | None:
        headers = {"Content-Type": "application/json", "Leverframe-Id": quote(notice.id)}
        if self._how.key:
            headers["Leverframe-Signature"] = signature_of(
                body, self._how.key, int(self._clock_s())
            )
        try:
            async with session.post(
                self._how.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # Its text may hold the address, and that of a webhook is a secret.
            return type(error).__name__, False
        if status < 300:
            return None
        return f"HTTP {status}", 300 <= status < 500 and status not in _COME_AGAIN
