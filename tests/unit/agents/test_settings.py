"""Settings: defaults, file, environment, and every fault at once."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from leverframe.agents.settings import Settings, load_settings
from leverframe.schemas.errors import SettingsError
from leverframe.streams.routes.route import compile_routes
from leverframe.streams.routes.settings import NamedParams

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
    with pytest.raises(SettingsError, match=rf"routes\.a\.(policy|reward): .*{word}"):
        loaded(tmp_path, f"[routes.a]\n{line}\n")


WRONG = """
[app]
idd = 3
[routes.checkout]
reward = "acuracy"
window_s = 60
default_after_s = 90
policy = { name = "epsilon_greedy", params = { epsilon = 3.0, foo = 1 } }
shadow = ["ucb", "ucb", "thomson"]
detectors = [{ name = "adwin", params = { delta = 4, memory = 2 } }, "kswim", { nam = "x" }]
[routes.b]
matures_after_s = 1
reward = { name = "log_loss", params = { clip = "x" } }
[routes.c]
default_reward = 7
[routes.c.guard]
reward_floor = 0.2
floor_margin = 0.4
alpha = 2
[routes.d]
window_s = "long"
default_after_s = 1e6
reward = "cost_matrix"
policy = { name = "bayes_ucb", params = { alpha = -1, spread = 0 } }
"""


def test_settings_report_everything_that_is_wrong_with_routes(tmp_path: Path) -> None:
    """Names, parameters, ages and what contradicts another key: each with route and key."""
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, WRONG)
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    places = [line.partition(": ")[0] for line in lines]
    assert places == [
        "app.idd",
        "routes.b.matures_after_s",
        "routes.b.reward",
        "routes.c.default_reward",
        "routes.c.guard.alpha",
        "routes.c.guard",
        "routes.checkout.default_after_s",
        "routes.checkout.detectors[0].params",
        "routes.checkout.detectors[0].params",
        "routes.checkout.detectors[1].name",
        "routes.checkout.detectors[2].nam",
        "routes.checkout.detectors[2].name",
        "routes.checkout.policy",
        "routes.checkout.policy",
        "routes.checkout.reward",
        "routes.checkout.shadow",
        "routes.checkout.shadow[2]",
        "routes.d.policy",
        "routes.d.policy",
        "routes.d.reward",
        "routes.d.window_s",
    ]
    text = "\n".join(lines)
    for told in (
        "must be at most window_s (60), when the request is forgotten; got 90",
        "unknown reward function 'acuracy', did you mean 'accuracy'? known: absolute_error",
        "unknown policy 'thomson', did you mean 'thompson'?",
        "unknown detector 'kswim', did you mean 'kswin'?",
        "epsilon_greedy: epsilon must lie in [0, 1], got 3.0",
        "epsilon_greedy: unknown parameter 'foo'; known: epsilon",
        "bayes_ucb: alpha must be positive",
        "bayes_ucb: spread must be at least 1",
        "cost_matrix: missing parameter `costs`",
        "must lie in the range of accuracy, 0 to 1; got 7",
    ):
        assert told in text


def test_settings_take_a_plain_name(tmp_path: Path) -> None:
    """For reward, policy, shadows and detectors; in the file and in the environment."""
    text = """
    [routes.a]
    reward = "brier"
    policy = "epsilon_greedy"
    shadow = ["ucb", { name = "exp3", params = { gamma = 0.2 } }]
    detectors = ["adwin", { name = "kswin", on_drift = "hold" }]
    """
    settings = loaded(
        tmp_path,
        text,
        LEVERFRAME_ROUTES__A__POLICY__PARAMS__EPSILON="0.5",
        LEVERFRAME_ROUTES__B__REWARD="absolute_error",
        LEVERFRAME_ROUTES__B__REWARD__PARAMS__SCALE="5",
    )
    route, other = settings.routes["a"], settings.routes["b"]
    assert (route.reward, other.reward.name) == (NamedParams(name="brier"), "absolute_error")
    assert route.policy == NamedParams(name="epsilon_greedy", params={"epsilon": 0.5})
    assert [shadow.name for shadow in route.shadow] == ["ucb", "exp3"]
    assert [(one.name, one.on_drift) for one in route.detectors] == [
        ("adwin", "note"),
        ("kswin", "hold"),
    ]
    compile_routes(settings.routes)


def test_settings_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """As editors of Windows write it; a file that may not be read is named."""
    path = tmp_path / "leverframe.toml"
    path.write_bytes(b"\xef\xbb\xbf[app]\nid = 'shop'\n")
    assert load_settings(path, {}).app.id == "shop"
    path.write_bytes("[app]\n".encode("utf-16"))
    with pytest.raises(SettingsError, match="is not TOML"):
        load_settings(path, {})
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_settings(tmp_path, {})


def test_a_command_that_looks_imports_nothing_heavy() -> None:
    """Default routes are right, and numpy is not needed to know it."""
    code = (
        "import sys; from leverframe.agents.settings import load_settings\n"
        "load_settings(None, {})\n"
        "print(sorted({'numpy', 'scipy', 'river'} & sys.modules.keys()))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("LEVERFRAME_ROUTES", "set its keys: LEVERFRAME_ROUTES__KEY"),
        ("LEVERFRAME_APP_ID", "did you mean LEVERFRAME_APP__ID?"),
        ("LEVERFRAME_BROKER_SERVERS", "did you mean LEVERFRAME_BROKER__SERVERS?"),
    ],
)
def test_names_that_were_meant_for_a_key_are_refused(name: str, said: str) -> None:
    """They would do nothing, without a word."""
    with pytest.raises(SettingsError, match=re.escape(said)):
        load_settings(None, {name: "x"})


def test_names_of_others_in_the_environment_are_left_alone() -> None:
    """Kubernetes sets these for a service that is called leverframe, or leverframe-app."""
    names = ("LEVERFRAME_PORT", "LEVERFRAME_SERVICE_HOST", "LEVERFRAME_APP_PORT_80_TCP_ADDR")
    assert load_settings(None, dict.fromkeys(names, "tcp://10.0.0.1:80")) == Settings()


def test_more_processes_than_lanes_and_copies_without_a_registry_are_faults() -> None:
    """Some would have nothing to do; nobody could read the others."""
    environment = {
        "LEVERFRAME_APP__PROCESSES": "6",
        "LEVERFRAME_TOPICS__PARTITIONS": "8",
        "LEVERFRAME_TOPICS__FORMAT": "protobuf",
    }
    with pytest.raises(SettingsError, match="share 4 lanes") as told:
        load_settings(None, environment)
    assert "protobuf needs a registry" in str(told.value)
    enough = {"LEVERFRAME_APP__PROCESSES": "6", "LEVERFRAME_TOPICS__PARTITIONS": "4"}
    assert load_settings(None, enough).app.lanes == 4
