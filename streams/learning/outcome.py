"""What a micro-batch changes, for the shell to make durable and to publish."""

from collections import Counter

from msgspec import Struct, field

from leverframe.schemas.audit import AuditEvent
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.route_settings import AppliedSettings
from leverframe.streams.learning.state import RouteState

__all__ = ["LearningOutcome"]


class LearningOutcome(Struct, kw_only=True):
    """What one micro-batch changes.

    Attributes
    ----------
    states : dict of str to RouteState
        Changed states by route.
    control : list of ControlMessage
        In the order in which they must be published.
    applied : list of AppliedSettings
        Settings that hold from here on, likewise.
    audit : list of AuditEvent
        What was asked and decided, likewise.
    dead_letters : list of DeadLetter
        Records that could not be used.
    counts : Counter of (str, str)
        ``(what, route)`` to number of events.
    """

    states: dict[str, RouteState] = field(default_factory=dict)
    control: list[ControlMessage] = field(default_factory=list)
    applied: list[AppliedSettings] = field(default_factory=list)
    audit: list[AuditEvent] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
