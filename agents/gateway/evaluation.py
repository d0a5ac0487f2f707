"""OFREP: a route is a flag, an arm its variant and value; pure.

The protocol (0.3.0) has five reasons and no word for values that may be out of date, so that
weights held by silence have the reason ``UNKNOWN`` and say ``stale`` in their metadata.
"""

import hashlib
from collections.abc import Generator
from typing import Any, Final

import msgspec
import orjson
from msgspec import UNSET, Struct, UnsetType, field

from leverframe.agents.gateway.answers import Answer, as_json
from leverframe.schemas.codec import DECODE_ERRORS
from leverframe.serving.routing import RoutingTable

__all__ = ["MOST_UNIT_CHARS", "evaluate", "evaluate_all"]

MOST_UNIT_CHARS: Final = 128
"""As ``unit_id`` of a prediction: who was assigned could not be logged otherwise."""

_ROUTES_A_STEP: Final = 100


class _Context(Struct):
    unit: str | UnsetType = field(default=UNSET, name="targetingKey")
    request_id: str | UnsetType = UNSET


class _Request(Struct):
    context: _Context


class _Asker(Struct, frozen=True):
    """Who asks: the unit draws the arm, the request whether others answer too."""

    unit: str
    request_id: str


_decode: Final = msgspec.json.Decoder(_Request).decode


class _FaultyError(Exception):
    """A request that cannot be evaluated: the protocol's code, and what is wrong."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code


def _asker(body: bytes) -> _Asker:
    try:
        context = _decode(body).context
    except msgspec.ValidationError as error:
        raise _FaultyError("INVALID_CONTEXT", f"the request is not as OFREP has it: {error}") from (
            error
        )
    except DECODE_ERRORS as error:
        raise _FaultyError("PARSE_ERROR", f"the request is no JSON: {error}") from error
    unit = context.unit
    if unit is UNSET or not unit:
        raise _FaultyError(
            "TARGETING_KEY_MISSING",
            "context.targetingKey says who is assigned (a user, a session, a request), 1 to "
            f"{MOST_UNIT_CHARS} characters; it is missing or empty",
        )
    request_id = unit if context.request_id is UNSET else context.request_id
    for name, text in (("targetingKey", unit), ("request_id", request_id)):
        if not 0 < len(text) <= MOST_UNIT_CHARS:
            raise _FaultyError(
                "INVALID_CONTEXT",
                f"context.{name} has {len(text)} characters, 1 to {MOST_UNIT_CHARS} can be logged "
                "with a prediction: where it is longer, use a digest of it",
            )
    return _Asker(unit, request_id)


def evaluate(table: RoutingTable, route: str, body: bytes) -> Answer:
    """Answer which arm a unit has on a route.

    ``body`` is as the protocol has it. ``context.request_id``, where it is given, says which
    request is answered, for answers in shadow; the unit is the request when left out.
    """
    try:
        asker = _asker(body)
    except _FaultyError as error:
        failure = {"key": route, "errorCode": error.code, "errorDetails": str(error)}
        return as_json(400, failure)
    found = _evaluation(table, route, asker)
    if found is None:
        return as_json(
            404,
            {
                "key": route,
                "errorCode": "FLAG_NOT_FOUND",
                "errorDetails": f"nothing was heard of a route {route!r}: look at its name, or "
                f"register its first arm: leverframe arm register {route} ARM",
            },
        )
    return as_json(200, found)


def _evaluation(table: RoutingTable, route: str, asker: _Asker) -> dict[str, Any] | None:
    now = table.in_force(route)
    if now is None:
        return None
    message = now.message
    metadata: dict[str, Any] = {"epoch": message.epoch, "seq": message.seq}
    if now.is_fallback:
        metadata["stale"] = True
    assigned = table.assign(route, asker.unit)
    if assigned is None:  # no arm has any weight: the caller's own default holds
        # OpenFeature's provider for Python needs a variant to find that there is no value.
        return {"key": route, "variant": "", "reason": "DISABLED", "metadata": metadata}
    arm, propensity, _ = assigned
    metadata["propensity"] = propensity
    if message.champion is not None:
        metadata["champion"] = message.champion
    if message.shadow_share and (shadows := table.shadows(route, asker.request_id, arm)):
        # A value of metadata is a text, a number or a truth: a list travels as JSON.
        metadata["shadows"] = orjson.dumps(shadows).decode()
    reason = "UNKNOWN" if now.is_fallback else "STATIC" if propensity == 1 else "SPLIT"
    return {"key": route, "value": arm, "variant": arm, "reason": reason, "metadata": metadata}


def evaluate_all(
    table: RoutingTable, revision: str, body: bytes, known: str | None, events: str | None
) -> Generator[None, None, Answer]:
    """Return which arms a unit has on all routes, some hundred routes between two steps.

    ``revision`` says what all routes have in force; with the unit it makes the tag, so that
    replicas agree on it. ``known`` is the caller's ``If-None-Match``; ``events`` is where changes
    are told, if they are. Ten thousand routes take longer than others want to wait: whoever steps
    lets them have their turn. What changes meanwhile has a newer revision than the tag tells, so
    the caller's next question brings it.
    """
    try:
        asker = _asker(body)
    except _FaultyError as error:
        return as_json(400, {"errorCode": error.code, "errorDetails": str(error)})
    who = hashlib.sha256(f"{asker.unit}\0{asker.request_id}".encode()).hexdigest()[:16]
    tag = f'"{revision}-{who}"'
    header = (b"etag", tag.encode())
    if known is not None and _is_known(known, tag):
        return Answer(304, b"", [header])
    flags: list[dict[str, Any] | None] = []
    for at, route in enumerate(sorted(table.routes), 1):
        flags.append(_evaluation(table, route, asker))
        if at % _ROUTES_A_STEP == 0:
            yield
    document: dict[str, Any] = {"flags": flags}
    document["metadata"] = {"revision": revision}
    if events is not None:
        document["eventStreams"] = [{"type": "sse", "endpoint": {"requestUri": events}}]
    return as_json(200, document, header)


def _is_known(known: str, tag: str) -> bool:
    """Whether ``If-None-Match`` names the tag.

    Examples
    --------
    >>> _is_known('"a", W/"b"', '"b"'), _is_known("*", '"b"'), _is_known('"a"', '"b"')
    (True, True, False)
    """
    return known.strip() == "*" or any(
        each.strip().removeprefix("W/") == tag for each in known.split(",")
    )
