"""How soon aiokafka asks again when the broker is still ending the transaction before.

A transaction is over for its producer before the broker has written all its markers; the next one
is told to wait. aiokafka then waits a fixed 20 ms. The markers take a fraction of a millisecond to
a few, and every label waits for two transactions in series, so most of the time from label to
control message was this wait: at 1,000 events/s p99 was 152 ms with it and 59 ms with ``WAIT_S``
(``python -m bench.latency``, one run each, 2 cores).
"""

from typing import Final

from aiokafka.producer import sender

from schemas.errors import LeverframeError

__all__ = ["WAIT_S", "ask_again_soon"]

WAIT_S: Final = 0.001
_NAME: Final = "BACKOFF_OVERRIDE"


def ask_again_soon() -> None:
    """Let transactional producers of this process ask again after ``WAIT_S``.

    Raises
    ------
    LeverframeError
        If this aiokafka has no such wait: the pins and this module must go together.
    """
    if not hasattr(sender, _NAME):
        raise LeverframeError(
            "this aiokafka is not the one that Leverframe was tested with; install the pinned one"
        )
    setattr(sender, _NAME, WAIT_S)
