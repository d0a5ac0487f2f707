"""Which arm answers a unit: weighted rendezvous hashing, the same in every language.

Each arm draws a number for the unit from a salted 64-bit hash, and the smallest ``-ln(u) /
weight`` wins. A unit keeps its arm while weights stand still. When they move, few units change
arm: as many as the total variation between old and new demands if all other arms give or take in
proportion, and at most twice as many in any case.

The hash, for other languages (test vectors in ``vectors.json``), all numbers unsigned::

    h(text)  = first 8 bytes, big-endian, of SHA-256(salt + NUL + text), UTF-8
    product  = (h("u" + unit) xor 0x9E3779B97F4A7C15) * (h("a" + arm) | 1)       128 bits
    x        = high 64 bits of product, xor its low 64 bits
    u        = (x + 0.5) / 2**64

References
----------
Thaler and Ravishankar (1998), Using name-based mappings to increase hit rates, IEEE/ACM ToN 6(1).
Resch (2015), New hashing algorithms for data storage: the weighted form by logarithms.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Final

__all__ = ["Assigner", "assign"]

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_SCALE: Final = 2.0**-64


class Assigner:
    """Assigns units by the weights of one control message.

    Parameters
    ----------
    weights : mapping of str to float
        Propensity by arm, not negative; their sum need not be exactly 1.
    salt : str
        The route's, from the control message.

    Raises
    ------
    ValueError
        If no arm has a positive weight.

    Examples
    --------
    >>> Assigner({"a": 0.3, "b": 0.7}, "00").assign("request-1")
    ('b', 0.7)
    """

    __slots__ = ("_arms", "_salt", "_sha")

    def __init__(self, weights: Mapping[str, float], salt: str) -> None:
        total = math.fsum(share for share in weights.values() if share > 0)
        if not total > 0:
            raise ValueError(f"no arm has a positive weight: {dict(weights)!r}")
        self._sha = hashlib.sha256(salt.encode() + b"\x00")
        # Sorted, so that ties and rounding do not depend on the mapping's order.
        self._arms = [
            (self._hash("a" + arm) | 1, -total / weights[arm], arm, weights[arm] / total)
            for arm in sorted(weights)
            if weights[arm] > 0
        ]

    def _hash(self, text: str) -> int:
        sha = self._sha.copy()
        sha.update(text.encode())
        return int.from_bytes(sha.digest()[:8], "big")

    def assign(self, unit_id: str) -> tuple[str, float]:
        """Return the arm for a unit and the propensity to log with it.

        Parameters
        ----------
        unit_id : str
            Request or user id.

        Returns
        -------
        tuple of str and float
            Arm, and its share among all arms.
        """
        arms = self._arms
        if len(arms) == 1:
            return arms[0][2], arms[0][3]
        sha = self._sha.copy()
        sha.update(b"u" + unit_id.encode())
        unit = int.from_bytes(sha.digest()[:8], "big") ^ _GOLDEN
        best, chosen, chance = math.inf, "", 0.0
        log, mask = math.log, _MASK
        for factor, steepness, arm, share in arms:
            product = unit * factor
            drawn = (((product >> 64) ^ product & mask) + 0.5) * _SCALE
            # -log(u) is at least 1 - u: most arms have lost before their logarithm is needed.
            if steepness * (drawn - 1.0) < best:
                score = steepness * log(drawn)
                if score < best:
                    best, chosen, chance = score, arm, share
        return chosen, chance


def assign(weights: Mapping[str, float], salt: str, unit_id: str) -> tuple[str, float]:
    """Assign one unit; for many keep an ``Assigner``.

    Parameters
    ----------
    weights : mapping of str to float
        Propensity by arm.
    salt : str
        The route's.
    unit_id : str
        Request or user id.

    Returns
    -------
    tuple of str and float
        Arm and propensity.
    """
    return Assigner(weights, salt).assign(unit_id)
