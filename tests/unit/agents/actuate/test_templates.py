"""Templates: typed values, nothing that breaks out, and faults before anything is sent."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverframe.agents.actuate.place import Context
from leverframe.agents.actuate.settings import WebhookSettings
from leverframe.agents.actuate.templates import (
    body_of,
    header_of,
    secrets_in,
    template_faults,
    url_of,
    values_of,
)
from leverframe.agents.settings import load_settings
from leverframe.schemas.errors import SettingsError

ARMS = {"v1": "models-v1", "v 2": 'models"v2'}
CONTEXT = Context("check out/é", 4, 812, "rollback")
NAMES = st.text(alphabet='"\\{}$/%&?\n é\x00', max_size=8)
VALUES = values_of({"v1": 75, "v 2": 25}, ARMS, 100, CONTEXT)


def test_a_text_that_is_a_placeholder_becomes_its_value() -> None:
    """Numbers, truth, objects; within other text they are text; keys are templates, too."""
    body = {
        "split": "${weights}",
        "share": "${share.v1}",
        "off": "${is_off.v 2}",
        "text": "v1 gets ${weight.v1} $$",
        "${backend.v1}": ["${epoch}", None, 3],
    }
    made = json.loads(body_of(json.dumps(body), "json", VALUES))
    assert made == {
        "split": {"models-v1": 75, 'models"v2': 25},
        "share": 0.75,
        "off": False,
        "text": "v1 gets 75 $",
        "models-v1": [4, None, 3],
    }


def test_a_text_body_and_an_address_have_their_own_forms() -> None:
    """As it is, and percent-encoded."""
    assert body_of("split ${weight.v1};$$", "text", VALUES) == b"split 75;$"
    assert body_of("", "json", VALUES) == b""
    assert url_of("http://a/${route}?n=${backend.v 2}", VALUES) == (
        "http://a/check%20out%2F%C3%A9?n=models%22v2"
    )
    assert header_of("Bearer ${KEY}$$", {"KEY": "s${x}"}) == "Bearer s${x}$"


@settings(deadline=None, max_examples=50, derandomize=True)
@given(NAMES, NAMES)
def test_no_value_breaks_out_of_its_place(route: str, backend: str) -> None:
    """Whatever a route or backend is called, the body stays the JSON that was written."""
    values = values_of({"a": 1}, {"a": backend}, 1, Context(route, 1, 1, "routing"))
    template = '{"route": "${route}", "to": "b ${backend.a}", "n": "${weight.a}"}'
    made = body_of(template, "json", values)
    assert json.loads(made) == {"route": route, "to": f"b {backend}", "n": 1}
    assert url_of("http://h/${route}/x", values).count("/") == 4


def faults_of(**fields: Any) -> list[str]:
    webhook = WebhookSettings(**{"url": "http://a/", **fields})
    return list(template_faults(webhook, {"v1": "x", "v2": "y"}))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"url": "http://a/${weigth.v1}"},
            "url: no placeholder ${weigth.v1}; there are backend.v1",
        ),
        ({"url": "http://a/$"}, "url: a $ at character 10 begins no placeholder: write $$"),
        ({"body": '{"a": ${weights}}'}, "body: not JSON"),
        ({"body": '{"a": "${weight}"}'}, "body: no placeholder ${weight};"),
        ({"headers": {"X": "a $ b"}}, "headers.X: a $ at character 3"),
        (
            {"read_url": "http://a/${route}/${backend.v1}/${weight.v1}"},
            "read_url: no placeholder ${weight.v1}; there are backend.v1, backend.v2, route, total",
        ),
        ({"read": {"v1": "a["}, "read_url": "http://a/"}, "read.v1: not JMESPath"),
    ],
)
def test_faults_are_found_at_the_start(fields: dict[str, Any], words: str) -> None:
    """Each by its key."""
    (fault,) = faults_of(**fields)
    assert fault.startswith(words)


def test_good_templates_have_no_faults() -> None:
    """With each, the arm's own placeholders are known; headers may name any variable."""
    each: dict[str, Any] = {
        "each": True,
        "body": '{"a": "${weight}"}',
        "headers": {"A": "${KEY} ${KEY} ${B}"},
    }
    assert faults_of(**each) == []
    assert secrets_in(WebhookSettings(url="http://a/", **each)) == ["KEY", "B"]


def test_two_sections_for_one_place_are_refused(tmp_path: Path) -> None:
    """Each would call the other's writes a drift."""
    file = tmp_path / "leverframe.toml"
    place = "arms = {x = 'y'}\nhttproute = {namespace = 'n', name = 'n', rule = 'r'}"
    file.write_text(f"[actuators.a]\n{place}\n[actuators.b]\n{place}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"actuators.a and actuators.b write to one place"):
        load_settings(file, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arms = {}\nwebhook = {url = 'http://a/'}", "actuators.a.arms: name the backend"),
        ("arms = {x = 'y'}", "actuators.a.httproute: name one of httproute"),
        (
            "arms = {x = 'y', z = 'y'}\nhttproute = {namespace = 'n', name = 'n'}",
            "actuators.a.arms: two arms have the same backend",
        ),
        (
            "arms = {x = 'latest', z = 'v1'}\ninferenceservice = {namespace = 'n', name = 'n'}",
            "actuators.a.arms: KServe splits traffic between two revisions",
        ),
        (
            "arms = {x = 'y'}\nwebhook = {url = 'http://a/', read_url = 'http://a/', read = {}}",
            "actuators.a.webhook: read: with read_url give the JMESPath of 'x', and no others",
        ),
        (
            "arms = {x = 'y'}\nhttproute = {namespace = 'N', name = 'n'}",
            "actuators.a.httproute.namespace: Expected `str` matching regex",
        ),
    ],
)
def test_sections_that_cannot_be_are_refused(text: str, words: str, tmp_path: Path) -> None:
    """By the key, before anything is started."""
    file = tmp_path / "leverframe.toml"
    file.write_text(f"[actuators.a]\n{text}\n", encoding="utf-8")
    with pytest.raises(SettingsError) as told:
        load_settings(file, {})
    assert words in str(told.value)
