"""The worker's own log: lines for people, or one JSON object a line with a stable event name.

Whoever logs gives ``extra={"event": ..., ...}``; what else is in ``extra`` becomes a field of the
line. Names of events are public: docs/logs.md.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

__all__ = ["JsonFormatter", "set_up_logging"]

_KNOWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OURS: Final = ("leverframe", "streams", "agents", "serving")


class JsonFormatter(logging.Formatter):
    """One object a line; what libraries say has the event ``library``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON.

        Parameters
        ----------
        record : logging.LogRecord
            Any.

        Returns
        -------
        str
            Without a line break.
        """
        told: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": "library",
            "message": record.getMessage(),
        }
        told |= {name: value for name, value in vars(record).items() if name not in _KNOWN}
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(told, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # half of a surrogate pair: what no UTF-8 can hold is escaped
            return json.dumps(told, default=str)


def set_up_logging(level: str, form: Literal["text", "json"]) -> None:
    """Send our log and the libraries' warnings to standard error.

    Parameters
    ----------
    level : str
        Of our own log; libraries below speak from warnings up.
    form : {"text", "json"}
        Of a line.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s %(levelname)-8s %(name)s: %(message)s",
        force=True,
    )
    if form == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())
