"""The narrator's sentences for what predictions measured: guardrails and budgets. Pure."""

from leverframe.schemas.causes import BudgetCause, MetricCause

__all__ = ["budget_sentence", "metric_sentence"]


def metric_sentence(cause: MetricCause) -> str:
    """Say that a guardrail rolled an arm back, and on which evidence."""
    lead = f"{cause.arm} was rolled back by its {cause.metric}: "
    if cause.test == "bound":
        beside = f", where {cause.bound:g} is the bound"
    else:
        beside = f", {cause.compared_with} {_measured(cause, 'reference_')} meanwhile"
    return (
        f"{lead}{_measured(cause)} since it began to look bad{beside}; log evidence "
        f"{cause.log_evidence:.2f} reached {cause.log_threshold:.2f} (alpha {cause.alpha}); its "
        f"traffic went to {cause.traffic_to}"
    )


def _measured(cause: MetricCause, whose: str = "") -> str:
    """What was measured of the arm, or of its reference."""
    requests, share = getattr(cause, f"{whose}requests"), getattr(cause, f"{whose}share")
    if isinstance(share, float):
        limit = cause.bound if cause.test == "bound" else cause.threshold
        beyond = "worse than its own quantile" if whose else f"worse than {limit:g}"
        return f"{share:.2%} of {requests:,} requests {beyond}"
    mean = getattr(cause, f"{whose}mean")
    return f"mean {mean:g} of {requests:,} requests" if isinstance(mean, float) else "none yet"


def budget_sentence(cause: BudgetCause) -> str:
    """Say that weights moved towards cheaper arms.

    >>> budget_sentence(BudgetCause(metric="cost", mean=4.2, bound=3.0))
    'weights moved into the budget of cost: they made 4.2 a request, where 3 is allowed'
    """
    return (
        f"weights moved into the budget of {cause.metric}: they made {cause.mean:g} a request, "
        f"where {cause.bound:g} is allowed"
    )
