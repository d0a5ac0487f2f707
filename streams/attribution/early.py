"""Labels that were kept for a while, and cannot be used when their turn comes."""

from leverframe.schemas.codec import encode
from leverframe.schemas.dead_letter import DeadLetter
from leverframe.schemas.errors import RecordError
from leverframe.schemas.ground_truth import GroundTruth
from leverframe.streams.attribution.entries import ArrivedLabel
from leverframe.streams.envelope import key_of

__all__ = ["letter_of"]


def letter_of(
    request_id: str,
    session_id: str | None,
    label: ArrivedLabel,
    where: tuple[str, int],
    error: RecordError,
) -> DeadLetter:
    """Return the dead letter of a record that is no longer at hand; it lay in topic, partition."""
    truth = GroundTruth(
        request_id=request_id,
        label=label.label,
        part=label.part,
        labelled_at_ms=label.labelled_at_ms,
        session_id=session_id,
    )
    return DeadLetter(
        key=key_of(truth).encode(),
        value=encode(truth),
        topic=where[0],
        partition=where[1],
        offset=label.offset,
        timestamp_ms=label.arrived_ms,
        reason=error.reason,
        detail=error.detail,
    )
