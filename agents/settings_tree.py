"""From a TOML file and the environment to checked settings; every fault is found at once."""

import difflib
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from leverframe.schemas.errors import SettingsError

__all__ = ["ENVIRONMENT_PREFIX", "convert", "overlay", "read_tree"]

ENVIRONMENT_PREFIX = "LEVERFRAME_"
# Read elsewhere, or shorthand; not SECTION__KEY.
_SHORTHANDS = {"LEVERFRAME_BROKER": ("broker", "servers")}


def read_tree(path: Path | None) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path : Path, optional
        Where it is.

    Returns
    -------
    dict
        Empty when there is no path.

    Raises
    ------
    SettingsError
        If there is no such file, or it is not TOML.
    """
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"{path} does not exist; see docker/leverframe.toml for one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error


def overlay(tree: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Put the environment's values into the tree.

    Parameters
    ----------
    tree : dict
        Changed in place.
    environment : mapping of str to str
        ``LEVERFRAME_<SECTION>__<KEY>`` and the shorthands count.

    Raises
    ------
    SettingsError
        If a name leads through a value.
    """
    for name in sorted(environment):
        if name in _SHORTHANDS:
            where: list[str] = list(_SHORTHANDS[name])
        elif name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            where = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        else:
            continue
        node = tree
        for part in where[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise SettingsError(f"{name}: {part} is a value, it has no keys of its own")
        node[where[-1]] = _FromEnvironment(environment[name])


class _FromEnvironment(str):
    """A value as the environment gives it: TOML where that fits the key, else the text itself."""

    __slots__ = ()

    @property
    def literal(self) -> Any:
        try:
            return tomllib.loads(f"value = {self}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            return str(self)


def convert(value: Any, kind: Any, path: str, faults: list[str]) -> Any:
    """Convert field by field, so that all faults are found and not just the first.

    Parameters
    ----------
    value : object
        Of the tree.
    kind : type
        Wanted.
    path : str
        Of the value, for messages.
    faults : list of str
        Added to.

    Returns
    -------
    object
        None where there was a fault.
    """
    if isinstance(value, _FromEnvironment):
        # A password of digits is a password, not a number.
        plain = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
        value = str(value) if plain is str else value.literal
    if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
        return _convert_struct(value, kind, path, faults)
    if typing.get_origin(kind) is dict and isinstance(value, dict):
        inner = typing.get_args(kind)[1]
        return {
            name: convert(item, inner, f"{path}.{name}", faults) for name, item in value.items()
        }
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text, _, inside = str(error).partition(" - at `$")
        faults.append(f"{path}{inside.rstrip('`')}: {text}")
        return None


def _convert_struct(
    value: dict[str, Any], kind: type[Struct], path: str, faults: list[str]
) -> Struct | None:
    hints = typing.get_type_hints(kind, include_extras=True)
    before = len(faults)
    dot = f"{path}." if path else ""
    for name in value.keys() - hints.keys():
        close = difflib.get_close_matches(name, hints, 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(hints))}"
        faults.append(f"{dot}{name}: unknown key; {hint}")
    fields = {
        name: convert(value[name], hints[name], f"{dot}{name}", faults)
        for name in hints
        if name in value
    }
    return kind(**fields) if len(faults) == before else None
