"""How long a transactional producer waits for the markers of the transaction before."""

import pytest
from aiokafka.producer import sender

from leverframe.schemas.errors import LeverframeError
from leverframe.serving.patches import TRANSACTION_WAIT_S, shorten_transaction_wait


def test_the_wait_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fixed 20 ms would be most of the time from label to control message."""
    assert hasattr(sender, "BACKOFF_OVERRIDE")
    monkeypatch.setattr(sender, "BACKOFF_OVERRIDE", 0.02)
    shorten_transaction_wait()
    assert sender.BACKOFF_OVERRIDE == TRANSACTION_WAIT_S


def test_an_aiokafka_without_that_wait_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than a worker that is three times slower than it says."""
    monkeypatch.delattr(sender, "BACKOFF_OVERRIDE")
    with pytest.raises(LeverframeError, match="pinned"):
        shorten_transaction_wait()
