"""What the settings say about topics that exist already: ``[sources.NAME]``, ``[registry]``."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct, field

__all__ = ["FieldSettings", "FormatName", "Kind", "RegistrySettings", "SourceSettings", "Unit"]

Scalar: TypeAlias = bool | int | float | str
Unit: TypeAlias = Literal["s", "ms", "us", "ns", "iso8601"]
Kind: TypeAlias = Literal["prediction", "ground-truth"]
FormatName: TypeAlias = Literal[
    "json", "cloudevents", "debezium", "avro", "json-schema", "protobuf"
]


class FieldSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the value of one field comes from, and what is done to it; a text is its ``path``.

    Attributes
    ----------
    path : str, optional
        JMESPath expression over the record's document.
    header : str, optional
        Name of a header; its value as text.
    key : str, optional
        JMESPath expression over the record's key; ``"@"`` is the whole of it.
    value : bool, int, float or str, optional
        The same for every record.
    pattern : str, optional
        Regular expression that the text must match as a whole; its first group, if it has one, is
        the value.
    map : dict of str to bool, int, float or str
        What stands for what: ``{ approved = 1, declined = 0 }``. A value that it does not have is a
        fault.
    type : {"number", "text", "bool", "auto"}, optional
        Turn the value into this; for labels and predictions, which may be any of them. ``auto``
        makes of a text the number, or true or false, that it looks like.
    unit : {"s", "ms", "us", "ns", "iso8601"}
        Of a time.
    default : bool, int, float or str, optional
        Where the record has nothing, or null.
    """

    shorthand: ClassVar[str] = "path"

    path: str | None = None
    header: str | None = None
    key: str | None = None
    value: Scalar | None = None
    pattern: str | None = None
    map: dict[str, Scalar] = field(default_factory=dict)
    type: Literal["number", "text", "bool", "auto"] | None = None
    unit: Unit = "ms"
    default: Scalar | None = None


class SourceSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A topic that exists already, and how its records become ours (docs/sources.md).

    Attributes
    ----------
    topic : str
        Its full name; ``[topics] prefix`` is not put before it.
    kind : {"prediction", "ground-truth"}
        What its records are.
    format : {"json", "cloudevents", "debezium", "avro", "json-schema", "protobuf"}
        How they are written.
    begin : {"earliest", "latest"}
        Where reading begins the first time.
    filter : str
        JMESPath expression; records for which it is false, null or empty are passed over.
    withdraw : str
        JMESPath expression; where it is true the record takes an earlier label back.
    parts : dict of str to FieldSettings
        Several parts of a label from one record; a part that the record does not have is left out.
    parts_of : FieldSettings, optional
        Likewise, of an object: each of its members is a part.
    request_id, route, arm, prediction, propensity, epoch, seq, context, predicted_at_ms, shown, \
unit_id, served, replica, session_id : FieldSettings, optional
        Fields of a prediction.
    metrics : dict of str to FieldSettings
        What was measured of an answer, or of its outcome, each by its name; what the record does
        not have is left out.
    label, part, labelled_at_ms, weight, judge : FieldSettings, optional
        Fields of a label, beside ``request_id`` and ``session_id``.
    """

    topic: Annotated[str, Meta(min_length=1, max_length=249)]
    kind: Kind
    format: FormatName = "json"
    begin: Literal["earliest", "latest"] = "earliest"
    filter: str = ""
    withdraw: str = ""
    parts: dict[str, FieldSettings] = field(default_factory=dict)
    parts_of: FieldSettings | None = None
    request_id: FieldSettings | None = None
    route: FieldSettings | None = None
    arm: FieldSettings | None = None
    prediction: FieldSettings | None = None
    propensity: FieldSettings | None = None
    epoch: FieldSettings | None = None
    seq: FieldSettings | None = None
    context: FieldSettings | None = None
    predicted_at_ms: FieldSettings | None = None
    shown: FieldSettings | None = None
    unit_id: FieldSettings | None = None
    served: FieldSettings | None = None
    replica: FieldSettings | None = None
    session_id: FieldSettings | None = None
    metrics: dict[str, FieldSettings] = field(default_factory=dict)
    label: FieldSettings | None = None
    part: FieldSettings | None = None
    labelled_at_ms: FieldSettings | None = None
    weight: FieldSettings | None = None
    judge: FieldSettings | None = None


class RegistrySettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A schema registry with Confluent's REST interface.

    Attributes
    ----------
    url : str
        Its address; several are separated by commas and asked in turn. None when empty.
    username, password : str
        For basic authentication; give the password by the environment, not in the file.
    token : str
        A bearer token, instead. Give it by the environment.
    ca_file : str
        Certificate authority for ``https``; the system's when empty.
    timeout_s : float
        After which an answer is not waited for any more, and asked for again.
    subject_strategy : {"topic", "record", "topic_record"}
        How subjects are named: ``<topic>-value``, by the record's full name, or by both.
    """

    url: Annotated[str, Meta(pattern=r"^(|https?://[!-~]+)$")] = ""
    username: str = ""
    password: str = ""
    token: str = ""
    ca_file: str = ""
    timeout_s: Annotated[float, Meta(gt=0, le=300)] = 5.0
    subject_strategy: Literal["topic", "record", "topic_record"] = "topic"

    def __repr__(self) -> str:
        """Leave the secrets out."""
        return f"RegistrySettings(url={self.url.rpartition('@')[2]!r})"
