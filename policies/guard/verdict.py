"""From the evidence on an arm to its verdict."""

import math
from typing import Literal, TypeAlias

from msgspec import Struct

from leverframe.policies.guard.capital import wealth_of
from leverframe.policies.guard.evidence import Evidence

__all__ = ["Finding", "Verdict", "arm_alpha", "judge"]

Verdict: TypeAlias = Literal["healthy", "harmful", "inconclusive", "no_data"]


class Finding(Struct, frozen=True, kw_only=True):
    """One test's evidence against an arm.

    Attributes
    ----------
    test : {"champion", "floor"}
        What the arm was held against.
    log_evidence : float
        Nats.
    log_threshold : float
        Nats; the arm is harmful when the evidence reaches it.
    """

    test: Literal["champion", "floor"]
    log_evidence: float
    log_threshold: float

    @property
    def lead(self) -> float:
        """Nats by which the evidence reaches its threshold."""
        return self.log_evidence - self.log_threshold


def arm_alpha(alpha: float, registration: int) -> float:
    """Return the share of a route's alpha for its n-th arm; all shares add up to alpha.

    Parameters
    ----------
    alpha : float
        Of the route.
    registration : int
        1 for the first arm ever registered, 2 for the second, ...

    Returns
    -------
    float
        ``alpha / (n (n + 1))``.
    """
    return alpha / (registration * (registration + 1))


def _half_each(steady: float, woken: float) -> float:
    """Log wealth of somebody who put half on each."""
    most = max(steady, woken)
    return most + math.log((math.exp(steady - most) + math.exp(woken - most)) / 2)


def judge(
    evidence: Evidence, *, alpha: float, has_floor: bool
) -> tuple[Verdict, Finding | None, float]:
    """Conclude from what was bet.

    Parameters
    ----------
    evidence : Evidence
        Settled.
    alpha : float
        The arm's error budget; where there is a floor, each of the two tests has half of it.
    has_floor : bool
        Whether bets on the floor are made.

    Returns
    -------
    verdict : str
        ``harmful`` when either test says so, ``healthy`` when every test there is proves that it is
        not, ``inconclusive`` otherwise.
    finding : Finding or None
        The strongest evidence against the arm; None when no bets are made.
    better : float
        Nats of evidence that the arm is better than its reference.
    """
    threshold = math.log((2 if has_floor else 1) / alpha)
    found: list[Finding] = []
    fine: list[bool] = []
    better = 0.0
    if evidence.reference:
        steady, healthy, better = wealth_of(evidence.versus)
        woken = wealth_of(evidence.woken)[0] if evidence.woken.starts else 0.0
        worse = _half_each(steady, woken)
        found.append(Finding(test="champion", log_evidence=worse, log_threshold=threshold))
        fine.append(healthy >= threshold)
    if has_floor:
        below, above = wealth_of(evidence.level)
        found.append(Finding(test="floor", log_evidence=below, log_threshold=threshold))
        fine.append(above >= threshold)
    if not found:
        return "inconclusive", None, better
    strongest = max(found, key=lambda finding: finding.lead)
    if strongest.lead >= 0:
        return "harmful", strongest, better
    return ("healthy" if all(fine) else "inconclusive"), strongest, better
