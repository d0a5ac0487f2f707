"""What one request counts: from its entry to the reward record, by a label or by silence."""

from leverframe.schemas.fields import LabelValue
from leverframe.schemas.reward import Reward, RewardCause
from leverframe.streams.attribution.entries import Attributed, Waiting
from leverframe.streams.routes.route import Route

__all__ = ["give_reward", "mature", "matures_at_ms"]


def matures_at_ms(waiting: Waiting, route: Route) -> int | None:
    """Return when a request matures: it counts the route's default reward if it has no label.

    Parameters
    ----------
    waiting : Waiting
        Its prediction.
    route : Route
        Its route.

    Returns
    -------
    int or None
        Stream time, ms since the epoch, at the end of its window at the latest; None where the
        route looks at labels as they come, or nobody saw the answer.
    """
    if route.matures_after_ms is None or not waiting.shown:
        return None
    return min(waiting.arrived_ms + route.matures_after_ms, waiting.expires_ms)


def mature(
    request_id: str,
    entry: Waiting | Attributed,
    route: Route,
    until_ms: int,
    told_ms: int = 0,
) -> tuple[Attributed, Reward] | None:
    """Tell what a request counts when it matures, once.

    Without a label it is the route's default reward, or nothing. With one it is the same reward
    again, which changes no sum: the guard, which must see slow and fast labels alike, looks at
    these records alone.

    Parameters
    ----------
    request_id : str
        Of the request.
    entry : Waiting or Attributed
        Its entry.
    route : Route
        Its route.
    until_ms : int
        Stream time.
    told_ms : int
        Stream time of the request's newest record: this one is not dated before it.

    Returns
    -------
    tuple of Attributed and Reward, or None
        The entry, which a later label revises, and the record; None where nothing is due.
    """
    account = entry if isinstance(entry, Attributed) else None
    waiting = entry.prediction if isinstance(entry, Attributed) else entry
    due_ms = matures_at_ms(waiting, route)
    if due_ms is None or due_ms >= until_ms:
        return None
    reward = route.default_reward if account is None else account.reward
    if reward is None or (account is not None and account.matured):
        return None
    return give_reward(
        request_id,
        waiting,
        label=None if account is None else account.label,
        reward=reward,
        cause="expiry",
        labelled_at_ms=due_ms if account is None else account.labelled_at_ms,
        now_ms=max(due_ms, told_ms),
        before=account,
        matured=True,
    )


def give_reward(  # noqa: PLR0913 - a record has many fields
    request_id: str,
    waiting: Waiting,
    *,
    label: LabelValue,
    reward: float | None,
    cause: RewardCause,
    labelled_at_ms: int,
    now_ms: int,
    before: Attributed | None,
    matured: bool = False,
    parts: dict[str, LabelValue] | None = None,
) -> tuple[Attributed, Reward]:
    """Count a reward in place of what the request counted before.

    Parameters
    ----------
    request_id : str
        Of the request.
    waiting : Waiting
        Its prediction.
    label : bool, int, float, str or None
        In force now; None after a withdrawal, or for a default reward.
    reward : float or None
        What it counts now, in the reward function's unit.
    cause : str
        Why.
    labelled_at_ms : int
        When the label was given, ms since the epoch.
    now_ms : int
        Stream time.
    before : Attributed or None
        The account so far.
    matured : bool
        Whether the time of the default has passed; it stays so.
    parts : dict of str to LabelValue, optional
        What the label consists of; as before when left out.

    Returns
    -------
    tuple of Attributed and Reward
        The account, and the record that says what changed.
    """
    revision = 0 if before is None else before.revision + 1
    counted_at_ms = now_ms if before is None else before.counted_at_ms
    is_mature = matured or (before is not None and before.matured)
    if parts is None:
        parts = {} if before is None else before.parts
    entry = Attributed(
        waiting, label, labelled_at_ms, reward, revision, counted_at_ms, is_mature, parts
    )
    return entry, Reward(
        request_id=request_id,
        route=waiting.route,
        arm=waiting.arm,
        reward=reward,
        previous_reward=None if before is None else before.reward,
        revision=revision,
        cause=cause,
        propensity=waiting.propensity,
        epoch=waiting.epoch,
        seq=waiting.seq,
        context=waiting.context,
        predicted_at_ms=waiting.predicted_at_ms,
        labelled_at_ms=labelled_at_ms,
        attributed_at_ms=now_ms,
        counted_at_ms=None if before is None else counted_at_ms,
    )
