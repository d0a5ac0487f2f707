"""What a control message tells of an arm: its labels, means, bounds and verdict."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

__all__ = ["ArmEvidence", "MetricEvidence", "RecentEvidence", "ShadowEvidence"]


class RecentEvidence(Struct, frozen=True, kw_only=True):
    """What the newest labels of an arm say: about 200 of them, in whole time buckets.

    Attributes
    ----------
    labels : int
        That many.
    mean : float
        Reward mapped to [0, 1].
    since_ms : int
        Stream time at which the oldest bucket begins, ms since the epoch.
    """

    labels: int
    mean: float
    since_ms: int


class ShadowEvidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What answers say that were computed beside another arm's, and not given.

    Attributes
    ----------
    labels : int
        Of answers in shadow, in force; revisions and withdrawals move them.
    mean : float or None
        Of these, reward mapped to [0, 1].
    compared_with : str, optional
        The champion, where the arm is another one and their labels may be compared.
    pairs : int
        Requests that both answered, whichever was served, in force.
    difference : float, optional
        By how much the arm was better on them, on average.
    bounds : list of float, optional
        Lower and upper end of the difference's confidence sequence, at the route's ``alpha``.
    apart : bool
        True: the route's labels depend on the answer, so these are shown, and count nowhere.
    """

    labels: int
    mean: float | None
    compared_with: str | UnsetType = UNSET
    pairs: int = 0
    difference: float | UnsetType = UNSET
    bounds: list[float] | UnsetType = UNSET
    apart: bool = False


class MetricEvidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an arm's predictions say of one metric.

    Attributes
    ----------
    role : str
        ``guardrail``, ``signal``, ``budget`` or ``reward``.
    verdict : str
        ``harmful`` (proved to be worse than is tolerable), ``inconclusive`` or ``no_data``.
    requests : int
        Of which it is known.
    mean : float or None
        Of its values, clipped to the range, in its own unit.
    quantile : float, optional
        Of its newest values, where the route looks at one.
    against : float, optional
        Nats by which the bets speak against the arm; left out where they do not.
    """

    role: str
    verdict: str
    requests: int
    mean: float | None
    quantile: float | UnsetType = UNSET
    against: float | UnsetType = UNSET


class ArmEvidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an arm.

    Attributes
    ----------
    phase : str
        ``shadow``, ``nursery``, ``candidate``, ``champion`` or ``quarantined``.
    verdict : str
        The guard's: ``healthy``, ``harmful``, ``inconclusive`` or ``no_data``.
    labels : int
        Counted in its life.
    mean : float or None
        Of these, reward mapped to [0, 1]; None without labels.
    bounds : list of float
        Lower and upper end of the mean's confidence sequence.
    recent : RecentEvidence, optional
        Its newest labels alone; left out where none lie in the time buckets that are kept.
    label_delay_ms : list of float or None, optional
        In heartbeats: quantiles 0.5, 0.9 and 0.99 of the time from prediction to label.
    join : dict, optional
        In heartbeats: how the join of the arm fares.
    against : float, optional
        Nats by which the guard's bets speak against the arm; left out where they do not.
    heir : str, optional
        In heartbeats: the arm that would take its traffic.
    in_shadow : ShadowEvidence, optional
        Where it answered in shadow, or beside an answer in shadow of the champion.
    prior : list of float, optional
        Successes and failures from before its first label, which policies count beside its labels;
        in none of the other figures.
    metrics : dict of str to MetricEvidence, optional
        By name, on routes that declare them.
    """

    phase: str
    verdict: str
    labels: int
    mean: float | None
    bounds: list[float]
    recent: RecentEvidence | UnsetType = UNSET
    label_delay_ms: list[float | None] | UnsetType = UNSET
    join: dict[str, Any] | UnsetType = UNSET
    against: float | UnsetType = UNSET
    heir: str | UnsetType = UNSET
    in_shadow: ShadowEvidence | UnsetType = UNSET
    prior: list[float] | UnsetType = UNSET
    metrics: dict[str, MetricEvidence] | UnsetType = UNSET
