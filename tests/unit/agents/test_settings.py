"""Settings: defaults, file, environment, and every fault at once."""

from pathlib import Path

import pytest

from leverframe.agents.settings import Settings, load_settings
from leverframe.schemas.errors import PolicyError, SettingsError
from leverframe.streams.routes.route import compile_routes

FILE = """
[app]
id = "shop"
[topics]
partitions = 8
[routes.checkout]
window_s = 60
reward = { name = "cost_matrix", params = { costs = { "1" = { "0" = 5.0 } } } }
policy = { name = "epsilon_greedy", params = { epsilon = 0.2 } }
"""


def loaded(tmp_path: Path, text: str, **environment: str) -> Settings:
    path = tmp_path / "leverframe.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environment)


def test_settings_come_from_file_and_environment(tmp_path: Path) -> None:
    """The environment beats the file, which beats the defaults."""
    settings = loaded(tmp_path, FILE, LEVERFRAME_TOPICS__PARTITIONS="16", LEVERFRAME_BROKER="k:1")
    assert (settings.app.id, settings.topics.partitions) == ("shop", 16)
    assert settings.broker.servers == "k:1"
    assert settings.topics.route_partitions == 2
    route = compile_routes(settings.routes).get("checkout")
    assert route is not None
    assert (route.window_ms, route.reward_low, route.policy.name) == (60_000, -5, "epsilon_greedy")
    assert compile_routes(settings.routes).get("elsewhere") is None


def test_settings_take_texts_from_the_environment_as_they_are() -> None:
    """A password of digits stays a text; a key below a value is refused with its name."""
    settings = load_settings(None, {"LEVERFRAME_BROKER__PASSWORD": "0123"})
    assert settings.broker.password == "0123"  # noqa: S105 - a test's
    with pytest.raises(SettingsError, match="LEVERFRAME_APP__ID__X"):
        load_settings(None, {"LEVERFRAME_APP__ID": "a", "LEVERFRAME_APP__ID__X": "b"})


def test_settings_without_routes_accept_any_route() -> None:
    """Out of the box every route works with the defaults."""
    assert compile_routes(load_settings(None, {}).routes).get("anything") is not None


def test_settings_report_every_fault_with_its_path(tmp_path: Path) -> None:
    """Unknown keys (with a guess), wrong types and ranges: all in one message."""
    text = FILE + "[broker]\nsecurty = 'ssl'\nservers = 7\n[routes.b.guard]\nalpha = 2\n"
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)
    lines = str(caught.value).splitlines()
    assert lines[0] == "the settings have 3 faults:"
    assert "  broker.securty: unknown key; did you mean security?" in lines
    assert "  broker.servers: Expected `str`, got `int`" in lines
    assert any(line.startswith("  routes.b.guard.alpha: Expected `float` < 0.5") for line in lines)


def test_settings_refuse_what_is_not_toml(tmp_path: Path) -> None:
    """Malformed TOML names file and line; a missing file is named."""
    with pytest.raises(SettingsError, match=r"leverframe\.toml is not TOML: .*line 1"):
        loaded(tmp_path, "[app\n")
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings(tmp_path / "no.toml", {})


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('policy = { name = "thomson" }', "thomson"),
        ('policy = { name = "epsilon_greedy", params = { epsilon = 3.0 } }', "epsilon"),
        ('reward = { name = "acuracy" }', "acuracy"),
        ('reward = { name = "log_loss", params = { clip = 0.9 } }', "clip"),
    ],
)
def test_settings_name_a_wrong_policy_or_reward(tmp_path: Path, line: str, word: str) -> None:
    """Unknown names and parameters out of range say which."""
    settings = loaded(tmp_path, f"[routes.a]\n{line}\n")
    with pytest.raises(PolicyError, match=word):
        compile_routes(settings.routes)


def test_settings_keep_secrets_out_of_their_text() -> None:
    """Neither password nor signing key appear in a log of the settings."""
    environment = {
        "LEVERFRAME_BROKER__PASSWORD": "hunter2",
        "LEVERFRAME_APP__CONTROL_KEY": "hunter3",
    }
    settings = load_settings(None, environment)
    assert settings.broker.password == "hunter2"  # noqa: S105 - a test's
    assert "hunter" not in repr(settings) + repr(settings.broker) + repr(settings.app)


def test_text_of_digits_in_the_environment_stays_text() -> None:
    """Also where the text has a pattern to keep, such as a token."""
    settings = load_settings(
        None, {"LEVERFRAME_APP__WEB_TOKEN": "12345678901234567", "LEVERFRAME_APP__ID": "42"}
    )
    assert (settings.app.web_token, settings.app.id) == ("12345678901234567", "42")
