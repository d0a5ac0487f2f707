"""From a TOML file and the environment to checked settings; every fault is found at once."""

import difflib
import tomllib
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from leverframe.schemas.errors import SettingsError

__all__ = ["ENVIRONMENT_PREFIX", "Checks", "convert", "overlay", "read_tree"]

ENVIRONMENT_PREFIX = "LEVERFRAME_"
# Read elsewhere, or shorthand; not SECTION__KEY.
_SHORTHANDS = {"LEVERFRAME_BROKER": ("broker", "servers")}
# ``reward = "accuracy"`` is short for ``reward = { name = "accuracy" }``.
_NAME: Final = "name"
_PLACE_OF_NAMES: Final = 2  # routes.NAME.reward

Checks: TypeAlias = Mapping[type[Struct], Callable[[Any], Iterable[tuple[tuple[str, ...], str]]]]
"""By struct: what is wrong with it as a whole, by the keys concerned; the first one is named."""


def read_tree(path: Path | None) -> dict[str, Any]:
    """Read a TOML file; nothing where there is no path."""
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise SettingsError(f"{path} does not exist; see docker/leverframe.toml for one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def overlay(
    tree: dict[str, Any], environment: Mapping[str, str], sections: Mapping[str, Collection[str]]
) -> list[str]:
    """Put the environment's values into the tree: ``LEVERFRAME_<SECTION>__<KEY>``, shorthands.

    Returns the faults of names that were meant for a key of the ``sections`` and are none. Other
    names are not ours: a service called leverframe makes Kubernetes set ``LEVERFRAME_PORT``.
    """
    faults = []
    for name in sorted(environment):
        if name in _SHORTHANDS:
            where: list[str] = list(_SHORTHANDS[name])
        elif name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            where = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        else:
            if name.startswith(ENVIRONMENT_PREFIX):
                faults += _misnamed(name, sections)
            continue
        node = tree
        for at, part in enumerate(where[:-1]):
            child = node.setdefault(part, {})
            if where[0] == "routes" and at == _PLACE_OF_NAMES and isinstance(child, str):
                child = node[part] = {_NAME: child}
            node = child
            if not isinstance(node, dict):
                raise SettingsError(f"{name}: {part} is a value, it has no keys of its own")
        node[where[-1]] = _FromEnvironment(environment[name])
    return faults


def _misnamed(name: str, sections: Mapping[str, Collection[str]]) -> list[str]:
    """The fault of ``LEVERFRAME_ROUTES`` or ``LEVERFRAME_APP_ID``, which would do nothing."""
    said = name.removeprefix(ENVIRONMENT_PREFIX).lower()
    section, _, key = said.partition("_")
    if said in sections:
        return [f"{name}: a section has no value; set its keys: {name}__KEY"]
    if key and key in sections.get(section, ()):
        right = f"{ENVIRONMENT_PREFIX}{section}__{key}".upper()
        return [f"{name}: unknown name; did you mean {right}?"]
    return []


class _FromEnvironment(str):
    """A value as the environment gives it: TOML where that fits the key, else the text itself."""

    __slots__ = ()

    @property
    def literal(self) -> Any:
        try:
            return tomllib.loads(f"value = {self}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            return str(self)


def convert(value: Any, kind: Any, path: str, faults: list[str], checks: Checks) -> Any:
    """Convert field by field, so that all faults are found and not just the first.

    Where there was a fault ``faults`` has grown, and None is returned. ``checks`` look at each
    struct as a whole, also beside faults that do not concern them.
    """
    if isinstance(value, _FromEnvironment):
        # A password of digits is a password, not a number.
        plain = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
        value = str(value) if plain is str else value.literal
    kind = _without_none(kind)
    if isinstance(kind, type) and issubclass(kind, Struct):
        if isinstance(value, str) and (key := _shorthand(kind)):
            value = {key: value}
        if isinstance(value, dict):
            return _convert_struct(value, kind, path, faults, checks)
    if typing.get_origin(kind) is dict and isinstance(value, dict):
        inner = typing.get_args(kind)[1]
        return {
            name: convert(item, inner, f"{path}.{name}", faults, checks)
            for name, item in value.items()
        }
    if typing.get_origin(kind) is list and isinstance(value, list):
        inner = typing.get_args(kind)[0]
        return [
            convert(item, inner, f"{path}[{at}]", faults, checks) for at, item in enumerate(value)
        ]
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text, _, inside = str(error).partition(" - at `$")
        faults.append(f"{path}{inside.rstrip('`')}: {text}")
        return None


def _shorthand(kind: type[Struct]) -> str:
    """The key that a plain text stands for, where one says all that must be said of a struct."""
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    return _NAME if required == [_NAME] else getattr(kind, "shorthand", "")


def _without_none(kind: Any) -> Any:
    """The struct of ``Struct | None``: TOML has no null."""
    if typing.get_origin(kind) is not types.UnionType:
        return kind
    inner = [one for one in typing.get_args(kind) if one is not types.NoneType]
    is_struct = len(inner) == 1 and isinstance(inner[0], type) and issubclass(inner[0], Struct)
    return inner[0] if is_struct else kind


def _convert_struct(
    value: dict[str, Any], kind: type[Struct], path: str, faults: list[str], checks: Checks
) -> Struct | None:
    hints = typing.get_type_hints(kind, include_extras=True)
    before = len(faults)
    dot = f"{path}." if path else ""
    for name in value.keys() - hints.keys():
        close = difflib.get_close_matches(name, hints, 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(hints))}"
        faults.append(f"{dot}{name}: unknown key; {hint}")
    fields: dict[str, Any] = {}
    wrong: set[str] = set()
    for name in hints.keys() & value.keys():
        known = len(faults)
        fields[name] = convert(value[name], hints[name], f"{dot}{name}", faults, checks)
        if len(faults) > known:
            wrong.add(name)
    missing = {field.name for field in msgspec.structs.fields(kind) if field.required} - set(value)
    faults += [f"{dot}{name}: missing" for name in sorted(missing)]
    if missing:
        return None
    made = _made(kind, {n: v for n, v in fields.items() if n not in wrong}, path, faults)
    for keys, text in checks[kind](made) if made is not None and kind in checks else ():
        if not wrong.intersection(keys):
            faults.append(f"{dot}{keys[0]}: {text}")
    return made if len(faults) == before else None


def _made(
    kind: type[Struct], fields: dict[str, Any], path: str, faults: list[str]
) -> Struct | None:
    """The struct, with defaults for what is wrong, so that the rest can be looked at."""
    try:
        return kind(**fields)
    except TypeError:
        return None  # a required field is wrong
    except ValueError as error:
        faults.append(f"{path}: {error}")
        return None
