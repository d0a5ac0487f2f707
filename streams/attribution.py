"""Attribution: joins predictions and labels by request id into rewards (DESIGN.md section 6).

Pure: a micro-batch and the entries of its requests go in; changed entries, rewards and dead
letters come out. Whether a pair lies within its window is decided by record times alone, so the
rewards do not depend on how the input was cut into micro-batches, on which topic was read first,
nor on when expired entries are swept. (A change after the window is a dead letter while its entry
is still there, and a label that nobody waits for once it was swept; neither moves a reward.)
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from schemas.codec import DECODE_ERRORS, decode_error, decoder
from schemas.dead_letter import DeadLetter
from schemas.errors import RecordError
from schemas.fields import LabelValue
from schemas.ground_truth import GroundTruth
from schemas.prediction import Prediction
from schemas.reward import Reward, RewardCause
from streams.entries import Attributed, EarlyLabel, Entry, Waiting, same_content, waiting_of
from streams.envelope import InputRecord, check_envelope, check_key, check_name, dead_letter
from streams.rewarding import default_due_ms, give_reward, mature
from streams.routes import Route, Routes
from streams.served import ServedTally, tally

__all__ = ["EXPIRY_BUCKET_MS", "AttributionOutcome", "attribute"]

EXPIRY_BUCKET_MS = 1000


class AttributionOutcome(msgspec.Struct, kw_only=True):
    """What one micro-batch changes.

    Attributes
    ----------
    entries : dict of str to Entry
        Changed entries by request id; untouched ones are not in here.
    rewards : list of Reward
        In the order in which their second halves came.
    dead_letters : list of DeadLetter
        Records that could not be used.
    expiring : dict of int to list of str
        Expiry bucket (ms, start of the bucket) to requests first seen in this micro-batch.
    counts : Counter of (str, str)
        ``(what, route)`` to number of events; the route is "" where it is not known.
    served : ServedTally
        New predictions by arm, for the closed loop.
    """

    entries: dict[str, Entry] = msgspec.field(default_factory=dict)
    rewards: list[Reward] = msgspec.field(default_factory=list)
    dead_letters: list[DeadLetter] = msgspec.field(default_factory=list)
    expiring: defaultdict[int, list[str]] = msgspec.field(default_factory=lambda: defaultdict(list))
    counts: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    served: ServedTally = msgspec.field(default_factory=dict)


class _Step:
    """One micro-batch under way: the entries as they change, and what comes out."""

    def __init__(self, entries: Mapping[str, Entry], routes: Routes) -> None:
        self.before = entries
        self.routes = routes
        self.out = AttributionOutcome()

    def entry(self, request_id: str) -> Entry | None:
        return self.out.entries.get(request_id) or self.before.get(request_id)

    # -- predictions -------------------------------------------------------------------------

    def prediction(self, record: InputRecord, prediction: Prediction) -> None:
        route = self.routes.get(prediction.route)
        if route is None:
            raise RecordError(
                "unknown_route",
                f"route {prediction.route!r} has no section [routes.<name>] in the settings, "
                "and there is none for other routes",
            )
        check_name(prediction.route, "route")
        request_id = prediction.request_id
        entry = self.entry(request_id)
        waiting = waiting_of(record.timestamp, prediction, route.window_ms)
        counts = self.out.counts
        counts["prediction", prediction.route] += 1
        if entry is None or type(entry) is EarlyLabel:
            tally(self.out.served, prediction, record.timestamp)
        if entry is None:
            self.out.entries[request_id] = waiting
            self._watch(request_id, waiting, route)
        elif type(entry) is EarlyLabel:
            self._early(request_id, waiting, entry, route)
        else:
            self._again(waiting, entry)

    def _again(self, waiting: Waiting, entry: Entry) -> None:
        first = entry.prediction if isinstance(entry, Attributed) else entry
        if isinstance(first, Waiting) and not same_content(first, waiting):
            raise RecordError(
                "conflict", "a prediction with this request_id and other content came first"
            )
        self.out.counts["duplicate_prediction", waiting.route] += 1

    def _early(self, request_id: str, waiting: Waiting, early: EarlyLabel, route: Route) -> None:
        if early.arrived_ms > waiting.expires_ms:
            # Read before its prediction, yet written after its window: late all the same.
            self.out.counts["late_label", waiting.route] += 1
            self.out.entries[request_id] = waiting
            self._watch(request_id, waiting, route)
        elif waiting.arrived_ms - early.arrived_ms > route.window_ms:
            self.out.counts["late_prediction", waiting.route] += 1
            self.out.entries[request_id] = waiting
            self._watch(request_id, waiting, route)
        elif early.label is None:
            self.out.entries[request_id] = waiting
        else:
            self._reward(
                request_id, waiting, early.label, early.labelled_at_ms, waiting.arrived_ms, route
            )

    # -- labels ------------------------------------------------------------------------------

    def label(self, record: InputRecord, truth: GroundTruth) -> None:
        if truth.weight not in {None, 1.0}:
            raise RecordError("unsupported", "weight must be 1 or left out: labels count once each")
        request_id = truth.request_id
        entry = self.entry(request_id)
        labelled_at_ms = record.timestamp if truth.labelled_at_ms is None else truth.labelled_at_ms
        if type(entry) is Waiting:
            route = self._route_of(entry)
            self.out.counts["label", entry.route] += 1
            if record.timestamp > entry.expires_ms:
                self.out.counts["late_label", entry.route] += 1
            elif truth.label is not None:
                before = self._mature(request_id, entry, route, record.timestamp)
                self._reward(
                    request_id, entry, truth.label, labelled_at_ms, record.timestamp, route, before
                )
        elif type(entry) is Attributed:
            self._revise(record, truth, entry, labelled_at_ms)
        else:
            self._label_first(request_id, record.timestamp, truth, labelled_at_ms)

    def _label_first(
        self, request_id: str, arrived_ms: int, truth: GroundTruth, labelled_at_ms: int
    ) -> None:
        expires_ms = arrived_ms + self.routes.longest_window_ms
        if self.entry(request_id) is None:
            self._expire(request_id, expires_ms)
        self.out.counts["early_label", ""] += 1
        self.out.entries[request_id] = EarlyLabel(
            arrived_ms, expires_ms, truth.label, labelled_at_ms
        )

    def _revise(
        self, record: InputRecord, truth: GroundTruth, entry: Attributed, labelled_at_ms: int
    ) -> None:
        waiting = entry.prediction
        self.out.counts["label", waiting.route] += 1
        if truth.label == entry.label and type(truth.label) is type(entry.label):
            self.out.counts["duplicate_label", waiting.route] += 1
            return
        if record.timestamp > waiting.expires_ms:
            raise RecordError(
                "window_closed",
                f"the attribution window of this request ended at {waiting.expires_ms} ms; "
                "the reward in force stays",
            )
        route = self._route_of(waiting)
        self._reward(
            truth.request_id,
            waiting,
            truth.label,
            labelled_at_ms,
            record.timestamp,
            route,
            self._mature(truth.request_id, entry, route, record.timestamp),
        )

    # -- both --------------------------------------------------------------------------------

    def _route_of(self, waiting: Waiting) -> Route:
        route = self.routes.get(waiting.route)
        if route is None:
            raise RecordError("unknown_route", f"route {waiting.route!r} left the settings")
        return route

    def _watch(self, request_id: str, waiting: Waiting, route: Route) -> None:
        """Look at it again when its default falls due, else when its window ends."""
        due_ms = default_due_ms(waiting, route)
        self._expire(request_id, waiting.expires_ms if due_ms is None else due_ms)

    def _mature(
        self, request_id: str, entry: Waiting | Attributed, route: Route, now_ms: int
    ) -> Attributed | None:
        """Where the sweep is late, what it would have told comes first, so the records agree."""
        told = mature(request_id, entry, route, now_ms)
        if told is None:
            return entry if isinstance(entry, Attributed) else None
        self.out.counts["expiry", told[1].route] += 1
        self.out.rewards.append(told[1])
        return told[0]

    def _expire(self, request_id: str, expires_ms: int) -> None:
        self.out.expiring[expires_ms - expires_ms % EXPIRY_BUCKET_MS].append(request_id)

    def _reward(
        self,
        request_id: str,
        waiting: Waiting,
        label: LabelValue,
        labelled_at_ms: int,
        now_ms: int,
        route: Route,
        before: Attributed | None = None,
    ) -> None:
        # A label for an answer that nobody saw is an account of its own, but never a reward.
        shown = waiting.shown
        reward = (
            None if label is None or not shown else route.reward.reward(waiting.prediction, label)
        )
        cause: RewardCause = "label" if before is None else "revision"
        if reward is None:
            cause = "withdrawal"
        entry, record = give_reward(
            request_id,
            waiting,
            label=label,
            reward=reward,
            cause=cause,
            labelled_at_ms=labelled_at_ms,
            now_ms=now_ms,
            before=before,
        )
        self.out.entries[request_id] = entry
        if not shown:
            self.out.counts["not_shown", waiting.route] += 1
            return
        # "label" counts labels that arrive; this one met its prediction.
        what = "labelled" if cause == "label" else cause
        self.out.counts[what, waiting.route] += 1
        self.out.rewards.append(record)


_decode_prediction = decoder(Prediction)
_decode_label = decoder(GroundTruth)


def attribute(
    batches: Iterable[tuple[bool, Sequence[InputRecord]]],
    entries: Mapping[str, Entry],
    routes: Routes,
    *,
    max_value_bytes: int,
) -> AttributionOutcome:
    """Join one micro-batch.

    Parameters
    ----------
    batches : iterable of (bool, sequence of InputRecord)
        Runs of records in the order in which they were read; True marks predictions, False labels.
    entries : mapping of str to Entry
        The entries of the requests in the micro-batch that have one.
    routes : Routes
        Settings of all routes.
    max_value_bytes : int
        Largest value accepted.

    Returns
    -------
    AttributionOutcome
        Everything that changes; the caller makes it durable in one transaction.
    """
    step = _Step(entries, routes)
    take_prediction, take_label = step.prediction, step.label
    for is_prediction, records in batches:
        for record in records:
            try:
                value = check_envelope(record, max_value_bytes)
                if is_prediction:
                    prediction = _decode_prediction(value)
                    check_key(record.key, prediction.request_id, "request_id")
                    take_prediction(record, prediction)
                else:
                    truth = _decode_label(value)
                    check_key(record.key, truth.request_id, "request_id")
                    take_label(record, truth)
            except RecordError as error:
                _set_aside(step.out, record, error)
            except DECODE_ERRORS as error:
                _set_aside(step.out, record, decode_error(error))
    return step.out


def _set_aside(out: AttributionOutcome, record: InputRecord, error: RecordError) -> None:
    out.dead_letters.append(dead_letter(record, error))
    out.counts["dead_letter:" + error.reason, ""] += 1
