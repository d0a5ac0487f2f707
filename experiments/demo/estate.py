"""An estate that was there first: Avro decisions keyed by customer, and a table of outcomes.

Nothing here knows of our records: it is what somebody else's producers write.
"""

import io
import random
from collections.abc import Iterator
from typing import Any, Final

import fastavro
import orjson
from msgspec import Struct, field

__all__ = ["DECISION", "RIGHT", "SETTINGS", "Case", "Estate", "Sent"]

DECISION: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Decision",
    "namespace": "bank.credit",
    "fields": [
        {"name": "application", "type": "string"},
        {"name": "scorecard", "type": "string"},
        {"name": "approved", "type": "boolean"},
        {"name": "chance", "type": ["null", "double"], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
_PARSED: Final = fastavro.parse_schema(DECISION)

SETTINGS: Final = """\
[registry]
url = "{registry}"

[routes.credit]
reward = "accuracy"
policy = {{ name = "discounted_thompson", params = {{ half_life_ms = 5000 }} }}

# What the scoring service writes, as it always has: Avro, keyed by customer.
[sources.decisions]
topic = "{prefix}bank.decisions"
kind = "prediction"
format = "avro"
request_id = "application"
route = {{ value = "credit" }}
arm = "scorecard"
prediction = "approved"
propensity = "chance"
predicted_at_ms = "at"

# What Debezium reads off the core system's table.
[sources.outcomes]
topic = "{prefix}core.public.outcomes"
kind = "ground-truth"
format = "debezium"
filter = "row.outcome != null"
request_id = "row.application"
label = {{ path = "row.outcome", map = {{ repaid = true, defaulted = false }} }}
"""

RIGHT: Final = {"score-1": 0.65, "score-2": 0.85}
"""How often each scorecard is right."""
_WITHDRAWN: Final = 0.02
_UNCLEAR: Final = 0.01


class Sent(Struct, frozen=True):
    """A record of the estate, and when it is written, seconds after its request."""

    after_s: float
    is_decision: bool
    key: bytes
    value: bytes | None


class Case(Struct, frozen=True):
    """An application: who decided, and what must come of it.

    Attributes
    ----------
    arm : str
        That decided.
    reward : float or None
        In the end; None for one that is withdrawn.
    is_unclear : bool
        Whether its outcome is a word that nobody knows.
    """

    arm: str
    reward: float | None
    is_unclear: bool


class Estate(Struct):
    """Writes applications; remembers what must come of each."""

    schema_id: int
    rng: random.Random
    cases: dict[str, Case] = field(default_factory=dict)

    def application(self, arm: str, chance: float | None, at_ms: int) -> Iterator[Sent]:
        """Yield what is written for a new application that an arm decides."""
        rng, name = self.rng, f"app-{len(self.cases):06d}"
        is_good = rng.random() < 0.7
        is_right = rng.random() < RIGHT[arm]
        is_unclear, is_withdrawn = rng.random() < _UNCLEAR, rng.random() < _WITHDRAWN
        gone = is_withdrawn and not is_unclear
        self.cases[name] = Case(arm, None if gone else float(is_right), is_unclear)
        decision = {
            "application": name,
            "scorecard": arm,
            "approved": is_good == is_right,
            "chance": chance,
            "at": at_ms,
        }
        customer = f"customer-{rng.randrange(500)}".encode()
        yield Sent(0.0, True, customer, self._avro(decision))  # noqa: FBT003 - its field
        row = {"id": len(self.cases), "application": name, "outcome": None}
        word = "unclear" if is_unclear else "repaid" if is_good else "defaulted"
        known = {**row, "outcome": word}
        after_s = rng.uniform(0.3, 1.2)
        changes: list[tuple[float, str, Any, Any]] = [
            (0.0, "c", None, row),
            (after_s, "u", row, known),
        ]
        if gone:
            changes.append((after_s + 0.5, "d", known, None))
        key = orjson.dumps({"schema": {"type": "struct"}, "payload": {"id": row["id"]}})
        for due_s, op, before, after in changes:
            event = {"op": op, "before": before, "after": after, "source": {"table": "outcomes"}}
            told = {"schema": {"type": "struct"}, "payload": event}
            yield Sent(due_s, False, key, orjson.dumps(told))  # noqa: FBT003 - its field
        if gone:
            yield Sent(after_s + 0.5, False, key, None)  # noqa: FBT003 - its field

    def _avro(self, datum: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, _PARSED, datum)
        return b"\0" + self.schema_id.to_bytes(4, "big") + out.getvalue()
