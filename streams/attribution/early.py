"""Labels that were read before their prediction, and cannot be used once it is here."""

from leverframe.schemas.codec import encode
from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.errors import RecordError
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.streams.attribution.entries import ArrivedLabel

__all__ = ["letter_of"]


def letter_of(
    request_id: str, label: ArrivedLabel, topic: str, partition: int, error: RecordError
) -> DeadLetter:
    """Return the dead letter of a record that is no longer at hand."""
    truth = GroundTruth(
        request_id=request_id,
        label=label.label,
        part=label.part,
        labelled_at_ms=label.labelled_at_ms,
    )
    return DeadLetter(
        key=request_id.encode(),
        value=encode(truth),
        topic=topic,
        partition=partition,
        offset=label.offset,
        timestamp_ms=label.arrived_ms,
        reason=error.reason,
        detail=error.detail,
    )
