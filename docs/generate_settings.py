"""Writes the table of settings from the structs: ``python docs/generate_settings.py [--check]``.

Names, types, limits and defaults come from the fields, meanings from the docstrings, so that
``docs/settings.md`` cannot differ from the code; ``tests/architecture/test_docs.py`` compares them.
"""

import json
import sys
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, Struct, inspect

from leverframe.agents.actuate.settings import (
    ActuateSettings,
    ActuatorSettings,
    HttpRouteSettings,
    InferenceServiceSettings,
    KubernetesSettings,
    WarmUpSettings,
    WebhookSettings,
)
from leverframe.agents.gateway.settings import GatewaySettings
from leverframe.agents.mlflow.settings import MlflowRoute, MlflowSettings
from leverframe.agents.settings import AppSettings, NotificationSettings, TopicSettings
from leverframe.agents.telemetry.settings import TelemetrySettings
from leverframe.streams.routes.delivery import ChangeWindow, HoldoutSettings, RampSettings
from leverframe.streams.routes.metrics import MetricSettings
from leverframe.streams.routes.settings import (
    DetectorSettings,
    FollowingSettings,
    GuardSettings,
    NamedParams,
    RouteSettings,
)
from leverframe.streams.runtime.kafka import BrokerSettings
from leverframe.streams.sources.settings import FieldSettings, RegistrySettings, SourceSettings

__all__ = ["TARGET", "settings_page"]

TARGET: Final = Path(__file__).parent / "settings.md"

# Table in the settings file -> struct, in the order of the page.
_SECTIONS: Final[tuple[tuple[str, type[Struct]], ...]] = (
    ("app", AppSettings),
    ("broker", BrokerSettings),
    ("topics", TopicSettings),
    ("notifications", NotificationSettings),
    ("paging", NotificationSettings),
    ("routes.NAME", RouteSettings),
    ("routes.NAME.guard", GuardSettings),
    ("routes.NAME.metrics.METRIC", MetricSettings),
    ("routes.NAME.following", FollowingSettings),
    ("routes.NAME.ramp", RampSettings),
    ("routes.NAME.change_window", ChangeWindow),
    ("routes.NAME.holdout", HoldoutSettings),
    ("routes.NAME.reward, routes.NAME.policy", NamedParams),
    ("routes.NAME.detectors", DetectorSettings),
    ("sources.NAME", SourceSettings),
    ("sources.NAME.FIELD", FieldSettings),
    ("registry", RegistrySettings),
    ("gateway", GatewaySettings),
    ("actuators.NAME", ActuatorSettings),
    ("actuators.NAME.httproute", HttpRouteSettings),
    ("actuators.NAME.inferenceservice", InferenceServiceSettings),
    ("actuators.NAME.webhook", WebhookSettings),
    ("actuators.NAME.warm_up", WarmUpSettings),
    ("kubernetes", KubernetesSettings),
    ("actuate", ActuateSettings),
    ("mlflow", MlflowSettings),
    ("mlflow.routes.NAME", MlflowRoute),
    ("telemetry", TelemetrySettings),
)

_HEAD: Final = """\
# Settings

Generated from the code by `python docs/generate_settings.py`; do not edit.

One TOML file, given with `--config` or in `LEVERFRAME_CONFIG`. Every key can also be set in the
environment as `LEVERFRAME_<SECTION>__<KEY>`, which beats the file: `LEVERFRAME_APP__DATADIR`,
`LEVERFRAME_ROUTES__CHECKOUT__WINDOW_S`. `LEVERFRAME_BROKER` is short for
`LEVERFRAME_BROKER__SERVERS`. Names in the environment are read in lower case, so a route whose name
holds capitals is set in the file. Values are read as TOML where they are TOML and as text
otherwise; text that looks like a number needs quotes of its own (`'"12345"'`). Unknown keys and
wrong values are refused, all of them at once, with exit code 2.

The route `"*"` stands for every route that has no section; without any section under `routes` all
routes are accepted with the defaults. What can be named, with all parameters:
[reward functions](reward-functions.md), [policies](policies.md), [detectors](detectors.md). A plain
name is enough where parameters keep their defaults: `reward = "brier"`, `policy = "ucb"`,
`shadow = ["newest"]`, `detectors = ["adwin"]`. See [leverframe.toml](../docker/leverframe.toml) for
a file with comments.
"""


def settings_page() -> str:
    """Return the whole page.

    Returns
    -------
    str
        Markdown.
    """
    lines = [_HEAD]
    for section, kind in _SECTIONS:
        lines += [f"## `[{section.replace(', ', ']`, `[')}]`", ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        meanings = dict(_meanings(kind))
        for field in _fields(kind):
            cells = (f"`{field.name}`", _type(field.type), _default(field), meanings[field.name])
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _fields(kind: type[Struct]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{kind} is no struct")
    return info.fields


def _meanings(kind: type[Struct]) -> Iterator[tuple[str, str]]:
    """Yield name and meaning of every field in the docstring's ``Attributes``."""
    names: list[str] = []
    text: list[str] = []
    attributes = (getdoc(kind) or "").partition("----------\n")[2]
    for line in [*attributes.splitlines(), "end : str"]:
        if line.strip() and not line.startswith(" "):
            yield from ((name, " ".join(text).strip().replace("``", "`")) for name in names)
            names, text = line.partition(" : ")[0].replace(" ", "").split(","), []
        else:
            text.append(line.strip())


def _type(of: Any) -> str:
    match of:
        case inspect.IntType() | inspect.FloatType():
            return ("whole number" if isinstance(of, inspect.IntType) else "number") + _limits(of)
        case inspect.StrType():
            return "text" if of.pattern is None else f"text, `{of.pattern}`"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return "one of " + ", ".join(f"`{value}`" for value in of.values)
        case _:
            return _compound(of)


def _compound(of: Any) -> str:
    match of:
        case inspect.UnionType():
            return next(_type(one) for one in of.types if not isinstance(one, inspect.NoneType))
        case inspect.ListType():
            return f"list of {_type(of.item_type)}"
        case inspect.StructType() if of.cls in {NamedParams, DetectorSettings, FieldSettings}:
            return "name or table"
        case _:
            return "table"


def _limits(of: inspect.IntType | inspect.FloatType) -> str:
    limits = (("at least", of.ge), ("above", of.gt), ("at most", of.le), ("below", of.lt))
    return "".join(f", {word} {limit:.12g}" for word, limit in limits if limit is not None)


def _default(field: inspect.Field) -> str:
    value: Any = field.default
    if value is NODEFAULT and field.default_factory is not NODEFAULT:
        value = field.default_factory()
    if value is NODEFAULT:
        return "required"
    if isinstance(value, NamedParams):
        return f'`"{value.name}"`'
    if isinstance(value, Struct):
        return "see below"
    return f"`{json.dumps(msgspec.to_builtins(value))}`"


def main() -> int:
    """Write the page, or compare it.

    Returns
    -------
    int
        Exit code: 1 when ``--check`` finds a difference.
    """
    page = settings_page()
    if "--check" in sys.argv[1:]:
        is_same = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == page
        print(f"{TARGET.name}: {'up to date' if is_same else 'stale'}")
        return 0 if is_same else 1
    TARGET.write_text(page, encoding="utf-8")
    print(f"wrote {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
