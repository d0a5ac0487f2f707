"""Tells a webhook, or people on call, what happens; at least once, through a group of its own.

The workers share the partitions of ``control`` in a consumer group that commits what was
delivered, so neither a restart nor a webhook that is away loses a notification.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import quote

import aiohttp

from leverframe.agents.operator.topics import read_back
from leverframe.agents.settings import NotificationSettings, Settings
from leverframe.agents.worker.conditions import Conditions
from leverframe.agents.worker.notices import Notice, body_of, notice_of, signature_of
from leverframe.agents.worker.pagers import (
    Posting,
    is_critical,
    page_of,
    page_over,
    posting_of,
)
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import SettingsError
from leverframe.schemas.signing import read_control
from leverframe.streams.runtime.consumers import open_consumer
from leverframe.streams.runtime.logger import make_logger

__all__ = ["SECTIONS", "Notifier"]

log = make_logger()

SECTIONS: Final[tuple[Literal["notifications", "paging"], ...]] = ("notifications", "paging")
"""Of the settings, that name somebody to tell."""

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0
_GIVE_UP_S: Final = 3600.0
_ANSWER_S: Final = 10.0
_COMMIT_S: Final = 5.0
_RETRY_S: Final = 5.0
# Asked to come again; other refusals (4xx) would be the same the next time.
_COME_AGAIN: Final = frozenset({408, 425, 429})


class Notifier:
    """Follows ``control`` and posts to who is named in a section of the settings.

    ``clock_s`` gives seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        section: Literal["notifications", "paging"] = "notifications",
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._section = section
        self._how: NotificationSettings = getattr(settings, section)
        self._clock_s = clock_s
        self._deployment = f"{settings.topics.prefix}{settings.app.id}"
        self._conditions = Conditions()
        self._recalled: set[Any] = set()

    @property
    def is_wanted(self) -> bool:
        """Whether there is somebody to tell; ``SettingsError`` for a pager without its key."""
        if self._how.is_paging and not self._how.key:
            raise SettingsError(
                f"[{self._section}] format {self._how.format!r} needs its key, or nobody would be "
                f"paged: set LEVERFRAME_{self._section.upper()}__KEY"
            )
        return bool(self._how.address)

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
            group_id=f"{self._deployment}-{self._section}",
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
        if self._how.is_paging:
            await self._recall(consumer, fetched)
        for records in fetched.values():
            for record in records:
                try:
                    for posting, name in self._postings_of(record):
                        await self._post_until_taken(posting, name, session)
                        delivered += 1
                except Exception:
                    # It would be met again at every start, and nothing behind it delivered.
                    log.exception(
                        "notification_given_up",
                        message=f"the notification of {record.topic}-{record.partition} "
                        f"at {record.offset} is given up",
                    )
        return delivered

    async def _recall(self, consumer: Any, fetched: Mapping[Any, Sequence[Any]]) -> None:
        """Look up what was in force before partitions came here: its end is to be told."""
        self._recalled &= set(consumer.assignment())
        longest_s = max((route.ttl_s for route in self._settings.routes.values()), default=15.0)
        for tp in fetched.keys() - self._recalled:
            first: int = fetched[tp][0].offset
            records = await read_back(
                self._settings.broker,
                tp,
                partial(_lies_before, first),
                partial(_spans, [], round(longest_s * 1000)),
            )
            before = [one for record in records if (one := self._message_in(record)) is not None]
            for message in before:
                self._conditions.recall(message)
                notice = self._notice_of(message)
                if notice is not None:
                    self._conditions.open(notice)
            self._recalled.add(tp)

    def _message_in(self, record: Any) -> ControlMessage | None:
        return read_control(record, self._settings.control_keys)

    def _notice_of(self, message: ControlMessage) -> Notice | None:
        notice, told = notice_of(message), self._how.told
        if notice is None:
            return None
        is_told = notice.event in told or ("critical" in told and is_critical(notice))
        return notice if is_told else None

    def _postings_of(self, record: Any) -> Iterator[tuple[Posting, Notice]]:
        """Yield what is to be posted of a record, and of which notice or heartbeat."""
        message = self._message_in(record)
        if message is None:
            return
        how, notice = self._how, self._notice_of(message)
        if not how.is_paging:
            if notice is not None:
                yield Posting(how.address, body_of(notice, how.format), {}), notice
            return
        pages = [
            page_over(message, kind, self._deployment) for kind in self._conditions.close(message)
        ]
        if notice is not None:
            self._conditions.open(notice)
            pages.append(page_of(notice, self._deployment))
        for page in pages:
            told = Notice(page.kind, page.text, message)
            yield posting_of(page, how.format, how.address, how.key), told

    async def _post_until_taken(
        self, posting: Posting, notice: Notice, session: aiohttp.ClientSession
    ) -> bool:
        """Post until it is taken, refused for good, or an hour has passed; say if it was taken."""
        about = {"route": notice.message.route, "notification": notice.id}
        began_s, wait_s = time.monotonic(), _FIRST_WAIT_S
        while True:
            trouble = await self._post(posting, notice, session)
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
        self, posting: Posting, notice: Notice, session: aiohttp.ClientSession
    ) -> tuple[str, bool] | None:
        headers = {"Content-Type": "application/json", "Leverframe-Id": quote(notice.id)}
        headers |= posting.headers
        if self._how.key and not self._how.is_paging:
            headers["Leverframe-Signature"] = signature_of(
                posting.body, self._how.key, int(self._clock_s())
            )
        try:
            async with session.post(
                posting.url, data=posting.body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # Its text may hold the address, and that of a webhook is a secret.
            return type(error).__name__, False
        if status < 300:
            return None
        return f"HTTP {status}", 300 <= status < 500 and status not in _COME_AGAIN


def _lies_before(offset: int, record: Any) -> bool:
    return bool(record.offset < offset)


def _spans(newest: list[int], span_ms: int, kept: list[Any]) -> bool:
    """Whether a portion reaches so far back: a route has a heartbeat in each time to live.

    From the newest record before, not from now: nobody beat while no worker ran.
    """
    if not kept:
        return False
    newest[:] = newest or [kept[-1].timestamp]
    return bool(newest[0] - kept[0].timestamp >= span_ms)
