"""Loggers of events: structlog where they are called, the standard library's records underneath.

``log.info("ledger_opened", message="...", partition=3)``: the name of the event is public
(docs/logs.md), the message is the line for people, all else becomes a field of the line in JSON.
Nothing depends on how a process configures structlog: unconfigured, it prints to standard output.
"""

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog

__all__ = ["make_logger"]

_OF_LOGGING = ("exc_info", "stack_info")


def make_logger(name: str = "leverframe") -> structlog.stdlib.BoundLogger:
    """Return a logger whose calls end as records of ``logging.getLogger(name)``."""
    made: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[_record_arguments],
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return made


def _record_arguments(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> Any:
    """What the standard library's logger is called with."""
    own = {name: fields.pop(name) for name in _OF_LOGGING if name in fields}
    return {"msg": fields.pop("message"), "extra": fields, **own}
