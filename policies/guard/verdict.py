"""From the evidence on an arm to its verdict."""

import math
from typing import Literal, TypeAlias

from msgspec import Struct

from leverframe.policies.guard.capital import log_wealth_of, reached
from leverframe.policies.guard.evidence import ABOVE, BELOW, BETTER, FINE, WORSE, Evidence

__all__ = ["Finding", "Verdict", "arm_alpha", "judge", "log_worse", "proof_of_better"]

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


def log_worse(evidence: Evidence) -> float:
    """Return the evidence that an arm is worse than its reference by more than is tolerable.

    Parameters
    ----------
    evidence : Evidence
        Settled, with a reference.

    Returns
    -------
    float
        Nats, of both halves of the capital.
    """
    woken = evidence.woken
    return _half_each(
        log_wealth_of(evidence.versus, WORSE), log_wealth_of(woken, WORSE) if woken.starts else 0.0
    )


def judge(evidence: Evidence, *, alpha: float, has_floor: bool) -> tuple[Verdict, Finding | None]:
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
    """
    threshold = math.log((2 if has_floor else 1) / alpha)
    strongest: Finding | None = None
    is_fine = True
    if evidence.reference:
        worse = log_worse(evidence)
        strongest = Finding(test="champion", log_evidence=worse, log_threshold=threshold)
        is_fine = reached(evidence.versus, FINE, threshold) is not None
    if has_floor:
        below = log_wealth_of(evidence.level, BELOW)
        if strongest is None or below > strongest.log_evidence:
            strongest = Finding(test="floor", log_evidence=below, log_threshold=threshold)
        is_fine = is_fine and reached(evidence.level, ABOVE, threshold) is not None
    if strongest is None:
        return "inconclusive", None
    if strongest.lead >= 0:
        return "harmful", strongest
    return ("healthy" if is_fine else "inconclusive"), strongest


def proof_of_better(evidence: Evidence, alpha: float) -> float | None:
    """Return the evidence that an arm is better than its reference, if it is proof.

    Parameters
    ----------
    evidence : Evidence
        Settled.
    alpha : float
        The arm's error budget.

    Returns
    -------
    float or None
        Nats, at least ``log(1 / alpha)``; None where they are fewer.
    """
    return reached(evidence.versus, BETTER, math.log(1 / alpha)) if evidence.reference else None
