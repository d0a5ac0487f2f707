"""JMESPath, compiled once: plain paths become a walk, the rest is left to jmespath itself.

jmespath interprets its tree anew for each record, some 3 microseconds for ``a.b.c``. Nearly every
field is such a path, and a walk over it costs a twentieth. The tree is jmespath's own, so what a
path means cannot differ; a test holds both against each other.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import jmespath
from jmespath.exceptions import EmptyExpressionError, JMESPathError, LexerError, ParseError
from jmespath.functions import Functions

__all__ = ["Expression", "ExpressionError", "compile_expression", "is_true", "plain_walk"]

Expression: TypeAlias = Callable[[Any], Any]
"""From a document to what an expression finds there; None for nothing."""

_WALK_ERRORS: Final = (KeyError, TypeError)


class ExpressionError(ValueError):
    """An expression is not JMESPath, or asks of a document what its values do not allow."""


def compile_expression(text: str) -> Expression:
    """Compile an expression.

    Raises ``ExpressionError`` where it is not JMESPath; the function that is returned raises it
    where a function of JMESPath is given a value of a type that it does not take.

    Examples
    --------
    >>> compile_expression("outputs[0].data[0]")({"outputs": [{"data": [0.5]}]})
    0.5
    >>> compile_expression("a.b")({"a": "text"}) is None
    True
    >>> compile_expression("a.")
    Traceback (most recent call last):
        ...
    leverframe.streams.sources.expressions.ExpressionError: 'a.' is not JMESPath: it ends too early
    """
    try:
        compiled = jmespath.compile(text)
    except JMESPathError as error:
        raise ExpressionError(f"{text!r} is not JMESPath: {_why(error)}") from error
    try:
        steps = [*_steps(compiled.parsed)]
    except NotImplementedError:
        _refuse_unknown(text, compiled.parsed)
        return _interpreted(text, compiled.search)
    return _walk(steps)


def plain_walk(text: str) -> Expression | None:
    """Return the walk of an expression that is a plain path, which raises nothing; else None."""
    try:
        return _walk([*_steps(jmespath.compile(text).parsed)])
    except (JMESPathError, NotImplementedError):
        return None


def is_true(found: Any) -> bool:
    """Whether JMESPath takes a value for true: not false, not null, nothing empty; 0 is true."""
    return found is not None and found is not False and found not in ("", [], {})


def _why(error: JMESPathError) -> str:
    if isinstance(error, EmptyExpressionError):
        return "it ends too early"
    if isinstance(error, LexerError):
        return f"{error.message} at {error.lex_position}"
    if isinstance(error, ParseError):
        if not error.token_value:
            return "it ends too early"
        return f"{error.token_value!r} at {error.lex_position} was not expected"
    return str(error).split("\n")[0]


def _refuse_unknown(text: str, node: Mapping[str, Any]) -> None:
    """Refuse functions that there are none of; jmespath itself does so when they are called."""
    if node["type"] == "function_expression" and node["value"] not in Functions.FUNCTION_TABLE:
        raise ExpressionError(f"{text!r} is not JMESPath: it has no function {node['value']}()")
    for child in node["children"]:
        if isinstance(child, Mapping):
            _refuse_unknown(text, child)


def _steps(node: Mapping[str, Any]) -> Iterator[str | int]:
    """The members and indexes that a plain path goes through."""
    kind = node["type"]
    if kind in {"field", "index"}:
        yield node["value"]
    elif kind in {"subexpression", "index_expression"}:
        for child in node["children"]:
            yield from _steps(child)
    elif kind not in {"current", "identity"}:
        raise NotImplementedError(kind)


def _walk(steps: list[str | int]) -> Expression:
    if any(isinstance(step, int) for step in steps):
        return _walk_lists(steps)
    if len(steps) == 1:
        [name] = steps

        def member(document: Any) -> Any:
            try:
                return document[name]
            except _WALK_ERRORS:
                return None

        return member

    def walk(document: Any) -> Any:
        try:
            for step in steps:
                document = document[step]
        except _WALK_ERRORS:
            return None
        return document

    return walk


def _walk_lists(steps: list[str | int]) -> Expression:
    def walk(document: Any) -> Any:
        for step in steps:
            if isinstance(step, int) != isinstance(document, list):
                return None
            try:
                document = document[step]
            except (KeyError, TypeError, IndexError):
                return None
        return document

    return walk


def _interpreted(text: str, search: Expression) -> Expression:
    def interpret(document: Any) -> Any:
        try:
            return search(document)
        except Exception as error:
            why = str(error).splitlines() or [repr(error)]
            raise ExpressionError(f"{text!r}: {why[0]:.200}") from error

    return interpret
