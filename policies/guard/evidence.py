"""Evidence against an arm, from several starts at once, within one error budget for its life.

Evidence that began at the arm's registration reacts slowly when a good arm breaks: its good past
must first be outweighed. So a new start is made after every ``STRIDE`` labels of the arm, each
start is tested on the labels since then, and start j may use the share 1/((j+1)(j+2)) of the arm's
alpha; the shares add up to 1. Arm and reference are always compared from the same start, over the
same stretch. The counter j never goes back, also not when the reference changes, so the budget
holds for life.
"""

import math
from typing import Final

from msgspec import Struct

from policies.guard.two_sample import log_evidence, log_likelihood_ratio

__all__ = ["Evidence", "Finding", "arm_alpha", "restart", "strongest", "update"]

STRIDE: Final = 32
_RECENT: Final = 8


class Start(Struct, array_like=True, frozen=True, gc=False):
    """Where the counts stood when a stretch began: sums in 1e-9 rewards, exact."""

    index: int
    count: int
    sum_nano: int
    reference_count: int
    reference_sum_nano: int


class Evidence(Struct, array_like=True):
    """The starts kept for one arm against one reference.

    Attributes
    ----------
    reference : str
        Name of the arm compared with; "" before there is one.
    next_index : int
        Of the next start; never goes back.
    starts : list of Start
        The first since the reference changed, the most recent, and thinning ones between.
    """

    reference: str = ""
    next_index: int = 0
    starts: list[Start] = []


class Finding(Struct, frozen=True, kw_only=True):
    """The strongest evidence against an arm among its starts.

    Attributes
    ----------
    log_evidence : float
        Nats.
    log_threshold : float
        Nats; the arm is harmful when the evidence reaches it.
    count, mean, reference_count, reference_mean : float
        What was compared, since that start.
    """

    log_evidence: float
    log_threshold: float
    count: int
    mean: float
    reference_count: int
    reference_mean: float

    @property
    def is_harmful(self) -> bool:
        """Whether the evidence reaches its threshold."""
        return self.log_evidence >= self.log_threshold


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


def restart(evidence: Evidence, reference: str) -> None:
    """Forget all stretches, since the reference changed or the arm was released.

    Parameters
    ----------
    evidence : Evidence
        Changed in place; the index goes on.
    reference : str
        Name of the new reference.
    """
    evidence.reference = reference
    evidence.starts = []


def update(evidence: Evidence, own: tuple[int, int], reference: tuple[int, int]) -> None:
    """Begin a new stretch when one is due.

    Parameters
    ----------
    evidence : Evidence
        Changed in place.
    own : tuple of int
        Lifetime count and sum (1e-9 rewards) of the arm and of its reference, now.
    reference : tuple of int
        As for ``own``.
    """
    starts = evidence.starts
    if starts and own[0] - starts[-1].count < STRIDE:
        return
    starts.append(Start(evidence.next_index, own[0], own[1], reference[0], reference[1]))
    evidence.next_index += 1
    newest = starts[-1].index
    evidence.starts = [
        start
        for position, start in enumerate(starts)
        if position == 0 or start.index % _spacing(newest - start.index) == 0
    ]


def _spacing(age: int) -> int:
    """All of the most recent starts are kept, older ones at gaps that grow with their age."""
    return 1 << max(0, (age // _RECENT).bit_length()) if age >= _RECENT else 1


def strongest(
    evidence: Evidence,
    own: tuple[int, int],
    reference: tuple[int, int],
    *,
    alpha: float,
    margin: float,
) -> Finding | None:
    """Return the strongest evidence against the arm, relative to each start's threshold.

    Parameters
    ----------
    evidence : Evidence
        The stretches kept.
    own : tuple of int
        Lifetime count and sum (1e-9 rewards) of the arm and of its reference, now.
    reference : tuple of int
        As for ``own``.
    alpha : float
        The arm's error budget.
    margin : float
        How much worse is tolerable, 0 to 1.

    Returns
    -------
    Finding or None
        None when no start has labels of both arms with the arm behind by more than the margin.
    """
    best: Finding | None = None
    for start in evidence.starts:
        arm = (own[0] - start.count, (own[1] - start.sum_nano) / 1e9)
        other = (
            reference[0] - start.reference_count,
            (reference[1] - start.reference_sum_nano) / 1e9,
        )
        if arm[0] <= 0 or other[0] <= 0 or other[1] / other[0] - arm[1] / arm[0] <= margin:
            continue  # it does not even look worse
        threshold = math.log((start.index + 1) * (start.index + 2) / alpha)
        bound = log_likelihood_ratio(arm, other, margin, threshold)
        if best is not None and bound - threshold <= _lead(best):
            continue
        exact = (
            log_evidence(arm, other, margin) if bound >= threshold else min(bound, threshold - 1)
        )
        if best is None or exact - threshold > _lead(best):
            best = Finding(
                log_evidence=exact,
                log_threshold=threshold,
                count=arm[0],
                mean=arm[1] / arm[0],
                reference_count=other[0],
                reference_mean=other[1] / other[0],
            )
    return best


def _lead(finding: Finding) -> float:
    return finding.log_evidence - finding.log_threshold
