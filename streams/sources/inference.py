"""Proposes the section of a source from what its records hold. A guess, to be read by a person."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from leverframe.streams.sources.observed import Observed, observe
from leverframe.streams.sources.settings import FormatName, Kind

__all__ = ["Proposal", "propose"]

# Names of members, without separators; earlier ones are preferred.
_REQUEST: Final = (
    "requestid", "predictionid", "inferenceid", "decisionid", "request", "applicationid",
    "application", "conversationid", "conversation", "traceid", "correlationid", "eventid", "id",
    "uuid",
)  # fmt: skip
_ARM: Final = (
    "arm", "modelversion", "variant", "version", "deployment", "component", "model", "modelname",
    "modelid",
)  # fmt: skip
_LOOSE: Final = ('version"', 'component"', 'deployment"')
_ROUTE: Final = (
    "route", "inferenceservicename", "service", "endpoint", "usecase", "modelname", "task",
)  # fmt: skip
_PREDICTION: Final = (
    "prediction", "predictions", "predicted", "ypred", "output", "answer", "decision", "class",
    "score", "scores", "probability", "probabilities", "proba", "data", "result",
)  # fmt: skip
_LABEL: Final = (
    "label", "groundtruth", "truth", "target", "ytrue", "actual", "outcome", "clicked", "click",
    "converted", "conversion", "purchased", "feedback", "thumbs", "rating", "approved", "accepted",
    "reward", "fraud", "isfraud", "churned", "status", "value", "y", "score", "result",
)  # fmt: skip
_SCORES: Final = ("scores", "ratings", "grades", "judgements", "metrics", "labels", "parts")
_PROPENSITY: Final = ("propensity", "pscore", "probabilityofarm")
_UNIT: Final = ("userid", "user", "customerid", "customer", "sessionid", "session", "visitorid")
_TIME: Final = (
    "predictedatms", "labelledatms", "predictedat", "labelledat", "decidedat", "timestamp", "time",
    "ts", "createdat", "updatedat", "eventtime", "at",
)  # fmt: skip
_FEW: Final = 12


class Line(Struct, frozen=True):
    """A line of the section, and why it says so."""

    key: str
    value: str
    why: str


class Proposal(Struct, frozen=True):
    """A section of the settings.

    Attributes
    ----------
    name, topic : str
        Of the source, and what it reads.
    form : str
        Its format.
    kind : {"prediction", "ground-truth"}
        What its records seem to be.
    lines : sequence of Line
        Fields.
    missing : sequence of str
        Required fields for which nothing was found.
    """

    name: str
    topic: str
    form: FormatName
    kind: Kind
    lines: Sequence[Line]
    missing: Sequence[str]

    def written(self) -> str:
        """Return it as TOML, with a comment on each guess."""
        head = [f"[sources.{self.name}]", f'topic = "{self.topic}"', f'kind = "{self.kind}"']
        if self.form != "json":
            head.append(f'format = "{self.form}"')
        lines = [f"{one.key} = {one.value}  # {one.why}" for one in self.lines]
        lines += [f'# {name} = ""  # nothing looks like it: fill it in' for name in self.missing]
        return "\n".join([*head, *lines]) + "\n"


def propose(
    topic: str,
    form: FormatName,
    documents: Sequence[Any],
    keys: Sequence[Any],
    headers: Sequence[Mapping[str, bytes | None]],
) -> Proposal:
    """Propose a section from as many documents, keys and headers as there are samples."""
    found = _Found(observe(documents), len(documents), form)
    arm = found.field("arm", _ARM) or _header(headers, _ARM)
    prediction = found.best(_PREDICTION)
    label = found.best(_LABEL)
    # A label's record seldom names the model; "version" may be that of anything.
    is_prediction = arm is not None and (
        prediction is not None or label is None or not arm.value.endswith(_LOOSE)
    )
    request = found.field("request_id", _REQUEST, distinct=True) or _key(keys)
    request = request or found.field("request_id", _REQUEST)
    lines: list[Line | None] = [request]
    if is_prediction:
        lines += [
            found.field("route", _ROUTE, few=True)
            or Line("route", f'{{ value = "{_name(topic)}" }}', "the same for all: give it a name"),
            arm,
            found.field("prediction", _PREDICTION) or found.field("prediction", _LABEL),
            found.field("propensity", _PROPENSITY),
            found.field("unit_id", _UNIT),
            found.time("predicted_at_ms"),
        ]
    else:
        lines += [found.label(), found.time("labelled_at_ms")]
    known = [line for line in lines if line is not None]
    required = ("request_id", "arm", "prediction") if is_prediction else ("request_id", "label")
    given = {"label" if line.key == "parts_of" else line.key for line in known}
    kind: Kind = "prediction" if is_prediction else "ground-truth"
    missing = [name for name in required if name not in given]
    return Proposal(_name(topic), topic, form, kind, known, missing)


class _Found:
    """What samples hold, asked for by names."""

    def __init__(self, seen: Mapping[str, Observed], total: int, form: FormatName) -> None:
        # The row is what counts in a change event; attributes that all events have do not.
        self._seen = [
            one for one in seen.values() if form != "debezium" or one.path.startswith("row.")
        ]
        self._total = total

    def best(
        self, names: Sequence[str], *, distinct: bool = False, few: bool = False
    ) -> Observed | None:
        """Return the path whose name is the earliest of these, the shortest of those."""
        fit = [
            one
            for one in self._seen
            if one.name in names
            and (not distinct or one.is_distinct)
            and (not few or len(one.values) <= _FEW)
            and one.type != "other"
        ]
        return min(fit, key=lambda one: (names.index(one.name), len(one.path)), default=None)

    def field(
        self, key: str, names: Sequence[str], *, distinct: bool = False, few: bool = False
    ) -> Line | None:
        """Return the line of a field that is a plain path."""
        one = self.best(names, distinct=distinct, few=few)
        return None if one is None else Line(key, _quoted(one.path), self._why(one))

    def label(self) -> Line | None:
        """Return the line of a label: an object of scores, a word that stands for one, a path."""
        scores = self.best(_SCORES)
        if scores is not None and scores.type == "numbers":
            return Line("parts_of", _quoted(scores.path), self._why(scores))
        one = self.best(_LABEL)
        if one is None:
            return None
        if one.type != "text" or not 1 < len(one.values) <= _FEW:
            return Line("label", _quoted(one.path), self._why(one))
        words = ", ".join(f"{_quoted(str(word))} = 0" for word in sorted(one.values))
        return Line(
            "label",
            f"{{ path = {_quoted(one.path)}, map = {{ {words} }} }}",
            "say what each word stands for",
        )

    def time(self, key: str) -> Line | None:
        """Return the line of a time, with its unit."""
        one = self.best(_TIME)
        if one is None:
            return None
        unit = _unit(one.example)
        if unit is None:
            return None
        value = f'{{ path = {_quoted(one.path)}, unit = "{unit}" }}'
        return Line(key, value, self._why(one))

    def _why(self, one: Observed) -> str:
        shown = "" if one.example is None else f", such as {_shown(one.example)}"
        return f"{one.count} of {self._total}{shown}"


def _key(keys: Sequence[Any]) -> Line | None:
    texts = [key for key in keys if isinstance(key, str) and key]
    if texts and len(texts) == len(keys) and len(set(texts)) >= 0.9 * len(texts):
        return Line("request_id", '{ key = "@" }', f"each key is another, such as {texts[0]!r:.60}")
    return None


def _header(headers: Iterable[Mapping[str, bytes | None]], names: Sequence[str]) -> Line | None:
    known = {name for one in headers for name in one}
    plain = {name.replace("_", "").replace("-", "").lower(): name for name in sorted(known)}
    for name in names:
        if name in plain and not plain[name].startswith("ce_"):
            return Line("arm", f'{{ header = "{plain[name]}" }}', "a header")
    return None


def _unit(value: Any) -> str | None:
    if isinstance(value, str):
        if value.isdigit():
            return _unit(int(value))
        return "iso8601" if "T" in value or "-" in value else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "ms"
    for unit, most in (("s", 1e11), ("ms", 1e14), ("us", 1e17)):
        if value < most:
            return unit
    return "ns"


def _name(topic: str) -> str:
    last = topic.rpartition(".")[2] or topic
    return "".join(each if each.isalnum() or each in "-_" else "-" for each in last)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _shown(value: Any) -> str:
    return f"{value!r:.40}".replace("\n", " ")
