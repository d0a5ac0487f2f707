"""Makes policies, reward functions and detectors from names and parameters, as settings have them.

The three families share the rules, and so the answers to a wrong name or parameter.
"""

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

import msgspec

from leverframe.schemas.errors import PolicyError

__all__ = ["Family", "build", "faults_of"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What can be named at one place of the settings.

    Attributes
    ----------
    what : str
        For messages: "policy".
    kinds : mapping of str to type
        Built in, by name; such a name cannot be taken over.
    group : str
        Entry points of other distributions; none when empty.
    method : str
        Which each kind has, beside being a dataclass.
    page : str
        Documents all of them.
    """

    what: str
    kinds: Mapping[str, type[Any]]
    group: str
    method: str
    page: str


def build(family: Family, name: str, params: Mapping[str, object]) -> Any:
    """Make one.

    Parameters
    ----------
    family : Family
        Where the name is looked for.
    name : str
        Built in, or an entry point that leads to a dataclass.
    params : mapping of str to object
        Parameters by name, as JSON or TOML has them; those left out keep their defaults.

    Returns
    -------
    object
        Frozen, ready to use.

    Raises
    ------
    PolicyError
        If the name is unknown, or parameters are unknown, missing, of the wrong type or out of
        their range; it names all of them.
    """
    kind = _kind(family, name)
    if faults := _unknown(family, name, kind, params):
        raise PolicyError("; ".join(faults + _wrong(name, kind, _known(kind, params))))
    try:
        return msgspec.convert(dict(params), kind, strict=True)
    except (msgspec.ValidationError, PolicyError) as error:
        raise PolicyError("; ".join(_wrong(name, kind, params))) from error


def faults_of(family: Family, name: str, params: Mapping[str, object]) -> list[str]:
    """Say what keeps ``build`` from making one.

    Parameters
    ----------
    family : Family
        As for ``build``.
    name : str
        As for ``build``.
    params : mapping of str to object
        As for ``build``.

    Returns
    -------
    list of str
        A text for each fault; empty when it can be made.
    """
    try:
        kind = _kind(family, name)
    except PolicyError as error:
        return [str(error)]
    unknown = _unknown(family, name, kind, params)
    return unknown + _wrong(name, kind, _known(kind, params))


def _kind(family: Family, name: str) -> Any:
    if name in family.kinds:
        return family.kinds[name]
    points = entry_points(group=family.group) if family.group else ()
    point = next((point for point in points if point.name == name), None)
    if point is None:
        names = sorted({*family.kinds, *(point.name for point in points)})
        close = difflib.get_close_matches(name, names, 1)
        guess = f", did you mean {close[0]!r}?" if close else ";"
        raise PolicyError(
            f"unknown {family.what} {name!r}{guess} known: {', '.join(names)} ({family.page})"
        )
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise PolicyError(f"{name}: entry point {point.value} leads nowhere: {error}") from error
    if not dataclasses.is_dataclass(kind) or not hasattr(kind, family.method):
        raise PolicyError(f"{name}: entry point {point.value} is no dataclass with {family.method}")
    return kind


def _known(kind: Any, params: Mapping[str, object]) -> dict[str, object]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in params.items() if name in names}


def _unknown(family: Family, name: str, kind: Any, params: Mapping[str, object]) -> list[str]:
    known = [field.name for field in dataclasses.fields(kind)]
    listed = ", ".join(known) or "none"
    return [
        f"{name}: unknown parameter {key!r}; known: {listed} ({family.page})"
        for key in sorted(map(str, params))
        if key not in known
    ]


def _wrong(name: str, kind: Any, params: Mapping[str, object]) -> list[str]:
    """Faults of parameters that exist: all wrong types, else all that lie outside their range."""
    hints = typing.get_type_hints(kind, include_extras=True)
    texts = []
    for key, value in params.items():
        try:
            msgspec.convert(value, hints[key], strict=True)
        except msgspec.ValidationError as error:
            texts.append(f"{name}: {_parameter(error, key)}")
    if texts or (whole := _refusal(kind, params)) is None:
        return texts
    alone = (_refusal(kind, {key: params[key], **_required(kind, params)}) for key in params)
    found = [text for text in dict.fromkeys(alone) if text]
    return [_named(name, text) for text in found or [whole]]


def _required(kind: Any, params: Mapping[str, object]) -> dict[str, object]:
    missing = dataclasses.MISSING
    names = [f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is missing]
    return {name: params[name] for name in names if name in params}


def _refusal(kind: Any, params: Mapping[str, object]) -> str | None:
    try:
        msgspec.convert(dict(params), kind, strict=True)
    except msgspec.ValidationError as error:
        return str(error).replace("Object missing required field", "missing parameter")
    except PolicyError as error:
        return str(error)
    return None


def _named(name: str, text: str) -> str:
    return text if text.startswith(f"{name}: ") else f"{name}: {text}"


def _parameter(error: msgspec.ValidationError, key: str) -> str:
    """Turn ``... - at `$[...]``` into ``costs[...]: ...``, as our own range errors begin."""
    reason, _, path = str(error).partition(" - at `$")
    return f"{key}{path.rstrip('`')}: {reason}"
