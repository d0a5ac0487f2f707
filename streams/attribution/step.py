"""Attribution: joins predictions and labels by request id into rewards (DESIGN.md section 6).

Pure: a micro-batch and the entries of its requests go in; changed entries, rewards and dead
letters come out. Whether a pair lies within its window is decided by record times alone, so the
rewards do not depend on how the input was cut into micro-batches, on which topic was read first,
nor on when expired entries are swept. (A change after the window is a dead letter while its entry
is still there, and a label that nobody waits for once it was swept; neither moves a reward.)
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from leverframe.schemas.codec import DECODE_ERRORS, decode_error, decoder
from leverframe.schemas.errors import RecordError
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.schemas.prediction import Prediction
from leverframe.streams.attribution.entries import Kept, Session
from leverframe.streams.attribution.join import Join, arrived
from leverframe.streams.attribution.measured import Half, without_bad_metrics
from leverframe.streams.attribution.outcome import AttributionOutcome
from leverframe.streams.attribution.quota import Quota
from leverframe.streams.attribution.sessions import as_turn, with_session_label, with_turns
from leverframe.streams.envelope import (
    InputRecord,
    check_envelope,
    check_key,
    check_name,
    dead_letter,
    key_of,
)
from leverframe.streams.routes.route import RouteTable

__all__ = ["attribute"]


class _Batch(Join):
    """One micro-batch under way, with records of sessions and those that cannot be read."""

    def of_session(self, record: InputRecord, half: Prediction | GroundTruth) -> None:
        """Take a record that names its session: a turn, a label of one, or one of the session."""
        session_id = key_of(half)
        found = self.out.entries.get(session_id) or self.before.get(session_id)
        if found is not None and not isinstance(found, Session):
            raise RecordError("conflict", f"{session_id!r} is the id of a request: name a session")
        session = found or Session()
        check_name(half.request_id, "request_id")
        if isinstance(half, GroundTruth):
            # It counts when the sweep finds that every turn before it was read.
            after = with_session_label(session, half, arrived(record, half))
            self.out.entries[session_id] = after
            self._expire(session_id, record.timestamp)
            return
        if half.request_id == session_id:
            raise RecordError("invalid", "request_id and session_id are the same: name the turn")
        inner = Join(session.turns, self.routes, self.label_topic, self.quota, session_id)
        try:
            inner.prediction(record, as_turn(half, session_id))
        finally:
            out = inner.out
            if out.entries:
                self.out.entries[session_id] = with_turns(session, out.entries)
            for bucket, turns in out.expiring.items():
                self.out.expiring[bucket] += [session_id] * bool(turns)
            self.out.add(out)

    def undecoded(self, record: InputRecord, error: Exception, *, is_prediction: bool) -> None:
        """Set a record aside; one of which metrics alone are wrong counts all the same."""
        fault = decode_error(error)
        decode: Callable[[bytes], Half] = _decode_prediction if is_prediction else _decode_label
        sound = without_bad_metrics(record.value or b"", decode)
        if sound is not None:
            told, fault = sound
            try:
                check_key(record.key, key_of(told), _key_field(told))
                if told.session_id is not None:
                    self.of_session(record, told)
                elif isinstance(told, Prediction):
                    self.prediction(record, told)
                else:
                    self.label(record, told)
            except RecordError as refused:
                fault = refused
        self.set_aside(dead_letter(record, fault))


def _key_field(half: Prediction | GroundTruth) -> str:
    return "request_id" if half.session_id is None else "session_id"


_decode_prediction = decoder(Prediction)
_decode_label = decoder(GroundTruth)


def attribute(
    batches: Iterable[tuple[bool, Sequence[InputRecord]]],
    entries: Mapping[str, Kept],
    routes: RouteTable,
    *,
    max_value_bytes: int,
    label_topic: str = "ground-truth",
    quota: Quota | None = None,
) -> AttributionOutcome:
    """Join one micro-batch: runs of records in the order in which they were read.

    True marks a run of predictions, False one of labels. ``entries`` are those that the requests of
    the micro-batch have; ``label_topic`` is named in dead letters of labels that were read earlier.
    ``quota`` is what routes with ``max_requests_per_s`` have left; it is changed.
    """
    step = _Batch(entries, routes, label_topic, quota)
    take_prediction, take_label = step.prediction, step.label
    for is_prediction, records in batches:
        for record in records:
            try:
                value = check_envelope(record, max_value_bytes)
                if is_prediction:
                    prediction = _decode_prediction(value)
                    if prediction.session_id is None:
                        check_key(record.key, prediction.request_id, "request_id")
                        take_prediction(record, prediction)
                    else:
                        check_key(record.key, prediction.session_id, "session_id")
                        step.of_session(record, prediction)
                else:
                    truth = _decode_label(value)
                    if truth.session_id is None:
                        check_key(record.key, truth.request_id, "request_id")
                        take_label(record, truth)
                    else:
                        check_key(record.key, truth.session_id, "session_id")
                        step.of_session(record, truth)
            except RecordError as error:
                step.set_aside(dead_letter(record, error))
            except DECODE_ERRORS as error:
                step.undecoded(record, error, is_prediction=is_prediction)
    return step.out
