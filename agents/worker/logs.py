"""The worker's own log: lines for people, or one JSON object a line with a stable event name.

Whoever logs names an event and its fields: by ``streams.runtime.logger``, in a serving process by
``extra={"event": ..., ...}``. Names of events are public: docs/logs.md.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

__all__ = ["JsonFormatter", "set_up_logging"]

_KNOWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One object a line; what libraries say has the event ``library``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON, without a line break."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": "library",
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _KNOWN}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # half of a surrogate pair: what no UTF-8 can hold is escaped
            return json.dumps(line, default=str)


def set_up_logging(level: str, form: Literal["text", "json"]) -> None:
    """Send our log from ``level`` up, and the libraries' warnings, to standard error."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s %(levelname)-8s %(name)s: %(message)s",
        force=True,
    )
    if form == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())
    logging.getLogger("leverframe").setLevel(level.upper())
