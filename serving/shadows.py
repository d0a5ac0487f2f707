"""Which requests other arms answer too, in shadow: the same in every language, within a budget.

A share of the requests is drawn by a salted hash of the request id, apart from the one that draws
the arm; on a drawn request *all* arms answer, so that every pair of them is seen on the same rows.
For other languages (test vectors in ``vectors.json``)::

    h        = first 8 bytes, big-endian, of SHA-256(salt + NUL + "s" + request_id), UTF-8
    drawn    = (h + 0.5) / 2**64 < shadow_share
"""

import hashlib
from typing import Final

__all__ = ["Budget", "is_drawn"]

_SCALE: Final = 2.0**-64


def is_drawn(share: float, salt: str, request_id: str) -> bool:
    """Whether a request is one of those that all arms answer.

    Parameters
    ----------
    share : float
        ``shadow_share`` of the control message, 0 to 1.
    salt : str
        The message's.
    request_id : str
        Of the request, whatever unit draws its arm.

    Returns
    -------
    bool
        True for this share of all requests.

    Examples
    --------
    >>> is_drawn(1.0, "00", "request-1"), is_drawn(0.0, "00", "request-1")
    (True, False)
    """
    if not share > 0:
        return False
    digest = hashlib.sha256(f"{salt}\0s{request_id}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") + 0.5) * _SCALE < share


class Budget:
    """How many answers may be computed in shadow: so many a second, a second's worth at once.

    Parameters
    ----------
    per_s : float
        Answers, above 0.
    """

    def __init__(self, per_s: float) -> None:
        if not per_s > 0:
            raise ValueError(f"shadows_per_s must be above 0, got {per_s}")
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._left = self._most
        self._seen_s: float | None = None

    def take(self, count: int, now_s: float) -> bool:
        """Take as many answers as one request asks for, all or none.

        Parameters
        ----------
        count : int
            Answers; more than a second's worth are given where nothing was taken for a second.
        now_s : float
            Monotonic seconds.

        Returns
        -------
        bool
            Whether they may be computed.
        """
        if self._seen_s is not None:
            self._left += max(0.0, now_s - self._seen_s) * self._per_s
            self._left = min(self._left, self._most)
        self._seen_s = now_s
        if self._left < min(count, self._most):
            return False
        self._left -= count
        return True
