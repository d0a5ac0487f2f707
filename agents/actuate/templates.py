"""Templates of webhooks: placeholders, and what is put in; pure.

``${name}`` is a placeholder, ``$$`` a dollar sign. A template of JSON is JSON itself: a text that
is one placeholder and nothing else becomes its value, a number say, and any other text has its
placeholders put in as text. So no value can break out of its place.
"""

import re
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from leverframe.agents.actuate.place import Context
from leverframe.agents.actuate.settings import WebhookSettings

__all__ = ["Values", "body_of", "header_of", "secrets_in", "template_faults", "url_of", "values_of"]

Values = Mapping[str, Any]
# What holds also when nothing is written.
_STANDING: Final = re.compile(r"(backend\.|(backend|arm|route|total)$)")
_WHOLE: Final = re.compile(r"\$\{([^{}$]+)\}")


class _Template(string.Template):
    """``${weight.v1}``: names of arms may hold anything but braces and dollars."""

    idpattern = r"(?a:[A-Za-z_][A-Za-z0-9_]*)"
    braceidpattern = r"[^{}$]+"


def values_of(
    shares: Mapping[str, int],
    arms: Mapping[str, str],
    total: int,
    context: Context,
    arm: str | None = None,
) -> dict[str, Any]:
    """Return what templates can name.

    Parameters
    ----------
    shares : mapping of str to int
        To be written.
    arms : mapping of str to str
        Backend of each arm.
    total : int
        That shares sum to.
    context : Context
        The message.
    arm : str, optional
        The one that a request is for, where there is one for each.

    Returns
    -------
    dict
        By placeholder.
    """
    values: dict[str, Any] = {
        "route": context.route,
        "epoch": context.epoch,
        "seq": context.seq,
        "kind": context.kind,
        "total": total,
        "weights": {arms[name]: shares.get(name, 0) for name in arms},
    }
    for name in arms:
        values |= {f"{key}.{name}": value for key, value in _of_arm(name, shares, arms, total)}
    if arm is not None:
        values |= dict(_of_arm(arm, shares, arms, total)) | {"arm": arm}
    return values


def _of_arm(
    arm: str, shares: Mapping[str, int], arms: Mapping[str, str], total: int
) -> Iterator[tuple[str, Any]]:
    weight = shares.get(arm, 0)
    yield "weight", weight
    yield "weight_or_1", max(1, weight)  # where 0 is no weight: NGINX
    yield "share", weight / total
    yield "is_off", weight == 0
    yield "backend", arms[arm]


def url_of(template: str, values: Values) -> str:
    """Put values into an address, each percent-encoded."""
    return _put(template, values, lambda value: quote(_text(value), safe=""))


def body_of(template: str, form: str, values: Values) -> bytes:
    """Put values into a body of the form ``json`` or ``text``."""
    if not template:
        return b""
    if form == "text":
        return _put(template, values, _text).encode()
    return msgspec.json.encode(_filled(msgspec.json.decode(template), values))


def header_of(template: str, environment: Values) -> str:
    """Put variables of the environment into a header."""
    return _Template(template).substitute(environment)


def _filled(node: Any, values: Values) -> Any:
    match node:
        case str():
            whole = _WHOLE.fullmatch(node)
            return values[whole[1]] if whole else _put(node, values, _text)
        case list():
            return [_filled(one, values) for one in node]
        case dict():
            return {_put(key, values, _text): _filled(one, values) for key, one in node.items()}
        case _:
            return node


def _put(template: str, values: Values, form: Callable[[Any], str]) -> str:
    return _Template(template).substitute({name: form(value) for name, value in values.items()})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def secrets_in(webhook: WebhookSettings) -> list[str]:
    """Return the variables of the environment that the headers name."""
    found = [name for text in webhook.headers.values() for name in _named(text)]
    return list(dict.fromkeys(found))


def _named(template: str) -> Iterator[str]:
    for match in _Template.pattern.finditer(template):
        if name := match["named"] or match["braced"]:
            yield name
        elif match["invalid"] is not None:
            raise ValueError(
                f"a $ at character {match.start('invalid')} begins no placeholder: write $$ for a "
                "dollar sign"
            )


def template_faults(webhook: WebhookSettings, arms: Mapping[str, str]) -> Iterator[str]:
    """Find what is wrong with templates, before anything is sent."""
    arm = next(iter(arms)) if webhook.each else None
    known = values_of({}, arms, webhook.total, Context("", 0, 0, ""), arm)
    for key in ("url", "body"):
        yield from (f"{key}: {fault}" for fault in _unknown(getattr(webhook, key), known))
    standing = {name: known[name] for name in known if _STANDING.match(name)}
    yield from (f"read_url: {fault}" for fault in _unknown(webhook.read_url, standing))
    for name, text in webhook.headers.items():
        yield from (f"headers.{name}: {fault}" for fault in _unknown(text, None))
    if webhook.body and webhook.format == "json":
        try:
            msgspec.json.decode(webhook.body)
        except msgspec.DecodeError as error:
            yield f'body: not JSON ({error}): placeholders stand in texts, such as "${{weights}}"'
    for name, path in webhook.read.items():
        try:
            jmespath.compile(path)
        except JMESPathError as error:
            yield f"read.{name}: not JMESPath: {error}"


def _unknown(template: str, known: Values | None) -> Iterator[str]:
    try:
        named = list(_named(template))
    except ValueError as error:
        yield str(error)
        return
    for name in named if known is not None else ():
        if name not in (known or ()):
            can = ", ".join(sorted(known or ()))
            yield f"no placeholder ${{{name}}}; there are {can}"
