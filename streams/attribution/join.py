"""The join of requests: what a prediction, or a label, does to the entry of its request. Pure."""

from collections.abc import Mapping

from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.errors import RecordError
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.schemas.traffic import OVER_QUOTA
from leverframe.streams.attribution.account import Movement, matures_at_ms, take_label
from leverframe.streams.attribution.answers import (
    answer_of,
    event_of,
    foremost,
    is_looked_at,
    shadows_first,
    with_others,
)
from leverframe.streams.attribution.early import letter_of
from leverframe.streams.attribution.entries import (
    ArrivedLabel,
    Attributed,
    EarlyLabel,
    Entry,
    Kept,
    Session,
    Shared,
    Waiting,
    accounts_of,
    early_labels,
    labels_of,
    prediction_of,
    same_content,
    waiting_of,
    with_early_label,
    with_label,
)
from leverframe.streams.attribution.measured import (
    measured_by,
    measured_by_label,
    with_price,
)
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.quota import Quota
from leverframe.streams.attribution.traffic import (
    ServedCounts,
    note_prediction,
    note_settled,
    tally,
)
from leverframe.streams.attribution.units import served_unit
from leverframe.streams.envelope import (
    InputRecord,
    check_name,
)
from leverframe.streams.routes.route import Route, RouteTable, written_route

__all__ = ["EXPIRY_BUCKET_MS", "Join", "arrived"]

EXPIRY_BUCKET_MS = 1000


class Join:
    """Requests of one micro-batch: the entries as they change, and what comes out.

    Of a session it is the same by itself: its turns are the entries.
    """

    def __init__(
        self,
        entries: Mapping[str, Kept],
        routes: RouteTable,
        label_topic: str,
        quota: Quota | None = None,
        session_id: str | None = None,
    ) -> None:
        self.before = entries
        self.routes = routes
        self.label_topic = label_topic
        self.quota = quota or Quota({}, 1, 0)
        self.session_id = session_id
        self.out = AttributionOutcome()

    def entry(self, request_id: str) -> Entry | None:
        """Return what is kept of a request; refuse a session that has its id (``conflict``)."""
        found = self.out.entries.get(request_id) or self.before.get(request_id)
        if type(found) is Session:
            raise RecordError("conflict", f"{request_id!r} is the id of a session: name a request")
        return found  # type: ignore[return-value]  # isinstance would be a call for every record

    # -- predictions -------------------------------------------------------------------------

    def prediction(self, record: InputRecord, prediction: Prediction) -> None:
        """Take a prediction that names no session, or, in a session, one of its turns."""
        route = written_route(self.routes, prediction.route)
        check_name(prediction.route, "route")
        request_id = prediction.request_id
        entry = self.entry(request_id)
        counts = self.out.counts
        if route.max_requests_per_s is not None and prediction.shown:
            prediction, is_over = self.quota.judged(
                prediction, entry, route.max_requests_per_s, record.timestamp
            )
            counts[OVER_QUOTA, prediction.route, prediction.arm] += is_over
        waiting = waiting_of(record.timestamp, prediction, route.window_ms)
        waiting = with_price(waiting, prediction, route.prices) if route.prices else waiting
        counts[event_of("prediction", waiting), prediction.route, prediction.arm] += 1
        if entry is None:
            self.out.entries[request_id] = waiting
            self._await_end(request_id, waiting, route)
        elif isinstance(entry, EarlyLabel):
            self._first(record.partition, request_id, waiting, entry, route)
        else:
            accounts = accounts_of(entry)
            before = answer_of(accounts, waiting, route)
            if before is not None:
                self._again(waiting, before)
                return
            if not is_looked_at(accounts, waiting, route):
                self._await_end(request_id, waiting, route)
            shared = Shared([*accounts, waiting], labels_of(entry))
            self._open_shared(record.partition, request_id, shared, route)
        if prediction.served:
            served = tally(self.out.served, prediction, record.timestamp)
            note_prediction(self.out.aged, waiting)
            if prediction.unit_id is not None or route.metrics:
                self._tell_more(prediction, waiting, served, route)

    def _tell_more(
        self, prediction: Prediction, waiting: Waiting, served: ServedCounts, route: Route
    ) -> None:
        """Tell learning of whom was served, and of what was measured."""
        if prediction.unit_id is not None:
            served.of_units += 1
            at_ms = min(waiting.predicted_at_ms, waiting.arrived_ms)
            unit = served_unit(prediction, prediction.unit_id, at_ms, route.reassign_ms)
            self.out.units.append(unit)
        if route.metrics and prediction.shown:
            measured = measured_by(prediction, route.metrics, waiting.arrived_ms)
            if measured is not None:
                self.out.measured.append((prediction.route, measured))

    def _again(self, waiting: Waiting, before: Waiting) -> None:
        if not same_content(before, waiting):
            raise RecordError(
                "conflict", "a prediction with this request_id and other content came first"
            )
        self.out.counts[event_of("duplicate_prediction", waiting), waiting.route, waiting.arm] += 1

    def _first(
        self,
        partition: int,
        request_id: str,
        waiting: Waiting,
        early: EarlyLabel,
        route: Route,
    ) -> None:
        """Open the account of the first arm that answers a request whose labels were read."""
        labels = early_labels(early)
        for _ in labels:
            self.out.counts[event_of("label", waiting), waiting.route, waiting.arm] += 1
        if not route.settings.label_depends_on_answer:
            self._await_end(request_id, waiting, route)
            self._open_shared(partition, request_id, Shared([waiting], labels), route)
            return
        self.out.entries[request_id] = waiting
        self._await_end(request_id, waiting, route)
        account: Waiting | Attributed = waiting
        for label in labels:
            try:
                account = self._account(request_id, account, label, route)
            except RecordError as error:
                self._set_label_aside(partition, request_id, label, error)

    def _open_shared(self, partition: int, request_id: str, shared: Shared, route: Route) -> None:
        """Open the newest account of several; labels that were read before move it in order."""
        self.out.entries[request_id] = shared
        at = len(shared.accounts) - 1
        for label in shared.labels:
            try:
                self._account_of(request_id, shared, at, label, route)
            except RecordError as error:
                self._set_label_aside(partition, request_id, label, error)

    def _set_label_aside(
        self, partition: int, request_id: str, label: ArrivedLabel, error: RecordError
    ) -> None:
        where = self.label_topic, partition
        self.set_aside(letter_of(request_id, self.session_id, label, where, error))

    # -- labels ------------------------------------------------------------------------------

    def label(self, record: InputRecord, truth: GroundTruth) -> None:
        """Take a label that names no session."""
        if truth.judge:
            raise RecordError("unsupported", "a judge names the session of what it judges")
        self.take(truth.request_id, arrived(record, truth))

    def take(self, request_id: str, label: ArrivedLabel) -> None:
        """Let a label move what was predicted of its request, or wait for that."""
        entry = self.entry(request_id)
        if entry is None or isinstance(entry, EarlyLabel):
            self._label_first(request_id, label, entry)
            return
        waiting = (
            foremost(accounts_of(entry)) if isinstance(entry, Shared) else prediction_of(entry)
        )
        self.out.counts[event_of("label", waiting), waiting.route, waiting.arm] += 1
        route = self.routes.get(waiting.route)
        if route is None:
            raise RecordError("unknown_route", f"route {waiting.route!r} left the settings")
        if isinstance(entry, Shared) or not route.settings.label_depends_on_answer:
            self._share(request_id, entry, label, route)
        else:
            self._account(request_id, entry, label, route)

    def _share(
        self,
        request_id: str,
        entry: Waiting | Attributed | Shared,
        label: ArrivedLabel,
        route: Route,
    ) -> None:
        """Let a label move every account of its request; one that refuses it stops no other."""
        before = entry if isinstance(entry, Shared) else Shared([entry], labels_of(entry))
        # A list of its own: whoever holds the entry as it was keeps it as it was.
        shared = Shared([*before.accounts], with_label(before, label))
        self.out.entries[request_id] = shared
        refused: RecordError | None = None
        for at in shadows_first(shared.accounts):
            try:
                self._account_of(request_id, shared, at, label, route)
            except RecordError as error:
                refused = refused or error
        if refused is not None:
            raise refused

    def _label_first(self, request_id: str, label: ArrivedLabel, early: EarlyLabel | None) -> None:
        expires_ms = label.arrived_ms + self.routes.longest_window_ms
        entry = with_early_label(early, label, expires_ms)
        if early is None:
            self._expire(request_id, expires_ms)
        self.out.counts["early_label", "", ""] += 1
        self.out.entries[request_id] = entry

    # -- both --------------------------------------------------------------------------------

    def _account(
        self, request_id: str, account: Waiting | Attributed, label: ArrivedLabel, route: Route
    ) -> Waiting | Attributed:
        """Move the one account of a request; return it as it is then."""
        movement = take_label(request_id, account, label, route)
        if movement.entry is not account:
            self.out.entries[request_id] = movement.entry
        self.out.rewards += movement.rewards
        self._note(movement, account, label, route)
        return movement.entry

    def _account_of(
        self, request_id: str, shared: Shared, at: int, label: ArrivedLabel, route: Route
    ) -> None:
        """Move account number ``at`` of several, in an entry that is this micro-batch's own."""
        accounts = shared.accounts
        account = accounts[at]
        movement = take_label(request_id, account, label, route)
        self._note(movement, account, label, route)
        if movement.entry is not account:
            accounts[at] = movement.entry
            for reward in movement.rewards:
                self.out.rewards.append(with_others(reward, accounts, at))

    def _note(
        self, movement: Movement, account: Waiting | Attributed, label: ArrivedLabel, route: Route
    ) -> None:
        """Count what a label did to an account, and what it measured."""
        waiting = prediction_of(account)
        if movement.entry is not account and account is waiting:
            note_settled(self.out.aged, waiting)
        for event in movement.events:
            self.out.counts[event_of(event, waiting), waiting.route, waiting.arm] += 1
        if movement.is_first and label.metrics is not None:
            measured = measured_by_label(waiting, label.metrics, route.metrics)
            if measured is not None:
                self.out.measured.append((waiting.route, measured))

    def _await_end(self, request_id: str, waiting: Waiting, route: Route) -> None:
        """Let the sweep look at it when its default falls due, else when its window ends."""
        due_ms = matures_at_ms(waiting, route)
        self._expire(request_id, waiting.expires_ms if due_ms is None else due_ms)

    def _expire(self, request_id: str, expires_ms: int) -> None:
        self.out.expiring[expires_ms - expires_ms % EXPIRY_BUCKET_MS].append(request_id)

    def set_aside(self, letter: DeadLetter) -> None:
        """Set a record aside."""
        self.out.dead_letters.append(letter)
        self.out.counts["dead_letter:" + letter.reason, "", ""] += 1


def arrived(record: InputRecord, truth: GroundTruth) -> ArrivedLabel:
    """Return a label as it came; ``RecordError`` (``unsupported``) for one with a weight."""
    if truth.weight not in {None, 1.0}:
        raise RecordError("unsupported", "weight must be 1 or left out: labels count once each")
    arrived_ms, stated_ms = record.timestamp, truth.labelled_at_ms
    return ArrivedLabel(
        arrived_ms,
        truth.label,
        arrived_ms if stated_ms is None else stated_ms,
        truth.part,
        record.offset,
        truth.metrics,
    )
