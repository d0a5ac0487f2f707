"""Which control messages become notifications, and what is posted."""

import asyncio
import hashlib
import hmac
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from control_records import GUARD, HOLD, NOT_EFFECTIVE, T0, commanded, message
from msgspec.structs import replace

from leverframe.agents.settings import load_settings
from leverframe.agents.worker.conditions import Conditions
from leverframe.agents.worker.notices import body_of, notice_of, signature_of
from leverframe.agents.worker.notifier import Notifier
from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlKind, ControlMessage
from leverframe.schemas.errors import SettingsError


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


PAGED = {"LEVERFRAME_PAGING__KEY": "a-key"}


@pytest.mark.parametrize("form", ["pagerduty", "opsgenie"])
def test_people_on_call_hear_when_it_is_over(form: str) -> None:
    """What is critical opens a page, once for each route and kind; a heartbeat without it ends it.

    A person's rollback, and an alarm about evidence, are nobody's emergency.
    """
    posted: list[tuple[str, dict[str, Any], str]] = []

    async def take(request: web.Request) -> web.Response:
        told = orjson.loads(await request.read())
        path = request.raw_path
        posted.append((path, told, request.headers.get("Authorization", "")))
        return web.Response(status=202)

    def off(seq: int, **fields: Any) -> ControlMessage:
        return replace(message(seq, T0, **fields), quarantined=["b"])

    lasting = {"why": "heartbeat", "following": {"alarms": {"rollback_not_effective": {}}}}
    by_hand = commanded("rollback", "ada", "b")

    class Topic:
        def assignment(self) -> set[str]:
            return {"tp"}

        async def getmany(self, **_: Any) -> dict[str, list[Any]]:
            told = [
                off(1, kind="rollback", cause=GUARD),
                off(2, cause={"why": "heartbeat"}),
                off(3, kind="routing", cause=NOT_EFFECTIVE),
                off(4, cause=lasting),
                message(5, T0, cause=lasting),
                message(6, T0, cause={"why": "heartbeat"}),
                message(7, T0, cause={"why": "heartbeat"}),
                off(8, kind="rollback", cause=by_hand, route="other"),
                message(9, T0, kind="routing", cause={**HOLD}),
            ]
            return {"tp": [Record(encode(one)) for one in told]}

    async def scenario() -> int:
        app = web.Application()
        app.router.add_post("/{rest:.*}", take)
        async with TestServer(app) as server, ClientSession() as session:
            url = str(server.make_url("/v2/alerts"))
            settings = load_settings(
                None,
                {**PAGED, "LEVERFRAME_PAGING__URL": url, "LEVERFRAME_PAGING__FORMAT": form},
            )
            notifier = Notifier(settings, "paging")
            assert notifier.is_wanted
            notifier._recalled.add("tp")
            return await notifier._deliver_some(Topic(), session)

    assert asyncio.run(scenario()) == 4
    keys = [f"leverframe/r/{kind}" for kind in ("rollback", "rollback_not_effective")]
    if form == "pagerduty":
        assert [(told["event_action"], told["dedup_key"]) for _, told, _ in posted] == [
            ("trigger", keys[0]),
            ("trigger", keys[1]),
            ("resolve", keys[0]),
            ("resolve", keys[1]),
        ]
        assert {told["routing_key"] for _, told, _ in posted} == {"a-key"}
        first = posted[0][1]["payload"]
        assert first["severity"] == "critical"
        assert first["summary"].startswith("r: b was rolled back")
        assert first["custom_details"]["cause"]["log_evidence"] == 5.1
        return
    assert [path for path, _, _ in posted] == [
        "/v2/alerts",
        "/v2/alerts",
        *(f"/v2/alerts/{quote(key, safe='')}/close?identifierType=alias" for key in keys),
    ]
    assert [told["alias"] for _, told, _ in posted[:2]] == keys
    assert posted[0][1]["priority"] == "P1"
    assert {sent for _, _, sent in posted} == {"GenieKey a-key"}


def test_a_pager_without_its_key_is_no_pager() -> None:
    """Silence would be found out on the day that it is needed."""
    settings = load_settings(None, {"LEVERFRAME_PAGING__FORMAT": "pagerduty"})
    with pytest.raises(SettingsError, match="LEVERFRAME_PAGING__KEY"):
        _ = Notifier(settings, "paging").is_wanted
    assert not Notifier(settings).is_wanted
    paged = load_settings(None, {**PAGED, "LEVERFRAME_PAGING__FORMAT": "pagerduty"})
    assert Notifier(paged, "paging").is_wanted
    assert paged.paging.address == "https://events.pagerduty.com/v2/enqueue"


def test_what_was_open_before_a_restart_ends_too() -> None:
    """By what the newest heartbeat of before said."""
    conditions = Conditions()
    conditions.recall(replace(message(1, T0), quarantined=["b"]))
    assert conditions.close(replace(message(2, T0), quarantined=["b"])) == []
    assert conditions.close(message(3, T0)) == ["rollback"]
    assert conditions.close(message(4, T0)) == []


class Record(NamedTuple):
    """As aiokafka gives one."""

    value: bytes
    topic: str = "control"
    partition: int = 0
    offset: int = 0
