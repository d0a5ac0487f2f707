"""Which control messages become notifications, and what is posted."""

import asyncio
import hashlib
import hmac
from typing import Any, NamedTuple

import orjson
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from control_records import GUARD, HOLD, NOT_EFFECTIVE, T0, commanded, message

from leverframe.agents.settings import load_settings
from leverframe.agents.worker.notices import body_of, notice_of, signature_of
from leverframe.agents.worker.notifier import Notifier
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlKind


@pytest.mark.parametrize(
    ("kind", "cause", "event", "says"),
    [
        ("rollback", GUARD, "rollback", "b was rolled back: mean 0.1 of 40 labels"),
        (
            "rollback",
            commanded("rollback", "ada", "b"),
            "rollback",
            "command rollback b by ada; its traffic went to a",
        ),
        ("routing", HOLD, "ramp_held", "action hold"),
        (
            "routing",
            NOT_EFFECTIVE,
            "alarm",
            "b was rolled back by message 2.7",
        ),
        ("routing", {"why": "policy"}, None, ""),
        ("routing", {**HOLD, "action": "note"}, None, ""),
        ("heartbeat", {"why": "heartbeat", "last_change": GUARD}, None, ""),
    ],
)
def test_what_is_told(
    kind: ControlKind, cause: dict[str, Any], event: str | None, says: str
) -> None:
    """Rollbacks, held ramps and alarms; what a policy does all day is not."""
    notice = notice_of(message(7, T0, kind=kind, cause=cause))
    if event is None:
        assert notice is None
        return
    assert notice is not None
    assert notice.event == event
    assert notice.text.startswith("r: ")
    assert says in notice.text
    assert notice.id == "r/1.7"


def test_json_carries_the_whole_message() -> None:
    """A receiver can act on the evidence itself."""
    notice = notice_of(message(7, T0, kind="rollback", cause=GUARD))
    assert notice is not None
    told = orjson.loads(body_of(notice, "json"))
    assert told.keys() == {"event", "id", "text", "message"}
    assert told["message"]["cause"]["log_evidence"] == 5.1


def test_slack_text_holds_no_markup_of_a_stranger() -> None:
    """An arm named like a link or a call to everybody stays text."""
    hostile = "<!channel> & <https://evil.example|here>"
    notice = notice_of(message(7, T0, kind="rollback", cause={**GUARD, "arm": hostile}))
    assert notice is not None
    told = orjson.loads(body_of(notice, "slack"))
    assert told.keys() == {"text"}
    assert "<" not in told["text"]
    assert "&lt;!channel&gt; &amp; &lt;https" in told["text"]
    assert told["text"].startswith("[rollback] r: ")


def test_signature_covers_time_and_body() -> None:
    """A receiver recomputes it from what it got."""
    at, mac = signature_of(b"body", "key", 1234).split(",")
    assert at == "t=1234"
    assert mac == "v1=" + hmac.new(b"key", b"1234.body", hashlib.sha256).hexdigest()


def test_a_name_with_a_line_break_fits_into_a_header() -> None:
    """It is escaped, and a record that cannot be told stops none behind it."""
    posted: list[tuple[str, bytes]] = []

    async def take(request: web.Request) -> web.Response:
        posted.append((request.headers["Leverframe-Id"], await request.read()))
        return web.Response(status=204)

    class Topic:
        """What a consumer gives: a rollback whose cause says nothing, then two by command."""

        async def getmany(self, **_: Any) -> dict[str, list[Any]]:
            broken = message(1, T0, kind="rollback", cause={"why": "guard"}, route="broken")
            command = {"why": "command", "action": "rollback", "actor": "ada"}
            good = message(2, T0, kind="rollback", cause=command, route="two\nlines")
            last = message(3, T0, kind="rollback", cause=command)
            return {"tp": [Record(encode(one)) for one in (broken, good, last)]}

    async def scenario() -> int:
        app = web.Application()
        app.router.add_post("/", take)
        async with TestServer(app) as server, ClientSession() as session:
            url = str(server.make_url("/"))
            settings = load_settings(None, {"LEVERFRAME_NOTIFICATIONS__URL": url})
            return await Notifier(settings)._deliver_some(Topic(), session)

    assert asyncio.run(scenario()) == 3
    assert [name for name, _ in posted] == ["broken/1.1", "two%0Alines/1.2", "r/1.3"]


class Record(NamedTuple):
    """As aiokafka gives one."""

    value: bytes
    topic: str = "control"
    partition: int = 0
    offset: int = 0
