"""Who may ask, what is answered to everybody else, and what watches over the process."""

import re
from pathlib import Path

import pytest
from asking import Asked, control_message

from leverframe.agents.gateway.server import check_exposure
from leverframe.agents.gateway.settings import GatewaySettings
from leverframe.schemas.errors import SettingsError

TOKEN = "0123456789abcdef"  # noqa: S105 - of this test
BEFORE = "the-one-before-it"
ROUTE = control_message("r", {"a": 1.0})
FLAG = "/ofrep/v1/evaluate/flags/r"
BODY = {"context": {"targetingKey": "u"}}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": f"bearer {TOKEN}"}, 200),
        ({"authorization": f"Bearer {BEFORE}"}, 200),
        ({"x_api_key": TOKEN}, 200),
    ],
)
def test_the_token_is_asked_for(headers: dict[str, str], status: int) -> None:
    """By either header of the protocol; the one before it is still believed."""
    asked = Asked(ROUTE, token=TOKEN, token_before=BEFORE)
    answered = asked.ask(FLAG, BODY, **headers)
    assert answered.status == status
    assert (answered.headers.get("www-authenticate") == "Bearer") == (status == 401)
    assert TOKEN not in answered.body.decode()


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/openapi.json"])
def test_what_watches_needs_no_token(path: str) -> None:
    answered = Asked(ROUTE, token=TOKEN).ask(path, method="GET", host="10.0.0.7:8016")
    assert answered.status == 200
    assert TOKEN not in answered.body.decode()


def test_on_loopback_no_other_name_is_answered() -> None:
    """A page whose name was pointed at this machine reads and writes nothing."""
    assert Asked(ROUTE).ask(FLAG, BODY, host="evil.example").status == 421
    assert Asked(ROUTE).ask(FLAG, BODY, host="[::1]:8016").status == 200
    assert Asked(ROUTE, hosts=["flags.local"]).ask(FLAG, BODY, host="flags.local").status == 200
    beyond = Asked(ROUTE, bind="0.0.0.0", token=TOKEN)  # noqa: S104 - nothing listens
    assert beyond.ask(FLAG, BODY, host="any.example", x_api_key=TOKEN).status == 200


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/v1/labels/", "POST", 404),
        ("/v1/labels", "GET", 405),
        (FLAG, "GET", 405),
        ("/health/live", "POST", 405),
        ("/health/live", "HEAD", 200),
        ("/ofrep/v1/events", "POST", 405),
    ],
)
def test_other_paths_and_methods_are_told(path: str, method: str, status: int) -> None:
    answered = Asked(ROUTE).ask(path, BODY, method=method)
    assert answered.status == status
    if status != 200:
        assert answered.headers["content-type"] == "application/problem+json"
        assert answered.document["cure"]
    if status == 405:
        assert answered.headers["allow"] in {"GET", "POST"}


def test_a_large_request_is_refused_before_it_is_read() -> None:
    asked = Asked(ROUTE, max_body_bytes=1024)
    assert asked.ask(FLAG, BODY, content_length="1025").status == 413
    assert asked.ask(FLAG, b" " * 1025).status == 413


def test_readiness_tells_stale_routes_and_stays() -> None:
    """Safe weights hold on every replica at once: nothing is won by taking all of them away."""
    asked = Asked(ROUTE)
    asked.clock_s = 99.0
    answered = asked.ask("/health/ready", method="GET")
    assert (answered.status, answered.document["stale_routes"]) == (200, 1)


def test_beyond_loopback_a_token_is_needed() -> None:
    """Or somebody who says that something else asks for one."""
    for bind in ("0.0.0.0", "::", "example.org"):  # noqa: S104 - nothing listens
        with pytest.raises(SettingsError, match="LEVERFRAME_GATEWAY__TOKEN"):
            check_exposure(GatewaySettings(bind=bind))
        check_exposure(GatewaySettings(bind=bind, token=TOKEN))
        check_exposure(GatewaySettings(bind=bind, without_token=True))
    for bind in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        check_exposure(GatewaySettings(bind=bind))
    with pytest.raises(SettingsError, match="key_file"):
        check_exposure(GatewaySettings(cert_file="a.pem"))


def test_settings_show_no_token() -> None:
    assert TOKEN not in repr(GatewaySettings(token=TOKEN, token_before=TOKEN))


def test_metrics_are_documented() -> None:
    """Names on the page are those of docs/gateway.md, and what was asked is counted."""
    asked = Asked(ROUTE)
    asked.ask(FLAG, BODY)
    asked.ask("/v1/labels", b"{}")
    page = asked.ask("/metrics", method="GET").body.decode()
    names = re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE)
    served = {name for name in names if not name.endswith("_created")}
    text = (Path(__file__).parents[4] / "docs" / "gateway.md").read_text(encoding="utf-8")
    assert served == set(re.findall(r"`(leverframe_gateway_\w+)`", text))
    assert 'leverframe_gateway_requests_total{call="evaluate",status="200"} 1.0' in page
    assert 'leverframe_gateway_requests_total{call="labels",status="400"} 1.0' in page
    assert 'leverframe_gateway_routes{state="in_force"} 1.0' in page


def test_a_mistake_of_ours_is_one_answer(caplog: pytest.LogCaptureFixture) -> None:
    """500 as the protocol has it, its trace in the log, and the next request is answered."""
    asked = Asked(ROUTE)
    asked.table._heard_s["r"] = None  # type: ignore[assignment]
    answered = asked.ask(FLAG, BODY)
    assert (answered.status, "errorDetails" in answered.document) == (500, True)
    assert "gateway_failed" in str([vars(record) for record in caplog.records])
    asked.table._heard_s["r"] = 0.0
    assert asked.ask(FLAG, BODY).status == 200
