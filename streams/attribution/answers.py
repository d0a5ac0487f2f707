"""Several answers to one request: who may join it, and what each reward says of the others.

Every arm's answer is an account of its own with its own window; a label moves all of them.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from leverframe.schemas.errors import RecordError
from leverframe.schemas.reward import Reward
from leverframe.streams.attribution.entries import (
    MAX_ANSWERS_BYTES,
    Attributed,
    ShadowWaiting,
    Shared,
    Waiting,
    answer_bytes,
    prediction_of,
)
from leverframe.streams.routes.route import Route

__all__ = [
    "answer_of",
    "event_of",
    "foremost",
    "is_looked_at",
    "moved",
    "shadows_first",
    "with_others",
]


def answer_of(
    accounts: Sequence[Waiting | Attributed], waiting: Waiting, route: Route
) -> Waiting | None:
    """Return what an arm that answers has answered before, if it has.

    An answer of one more arm that cannot stand beside the others is refused (``RecordError``):
    ``conflict`` for another route, or a second one that was served; ``limit`` for too many.
    """
    is_large, served = _may_be_large(waiting), None
    for account in accounts:
        other = account.prediction if isinstance(account, Attributed) else account
        if other.arm == waiting.arm:
            return other
        if type(other) is not ShadowWaiting:
            served = other
        is_large = is_large or _may_be_large(other)
    first = prediction_of(accounts[0])
    if first.route != waiting.route:
        raise RecordError(
            "conflict",
            f"a prediction with this request_id came first, on route {first.route!r}",
        )
    if served is not None and waiting.served:
        raise RecordError(
            "conflict",
            f"arm {served.arm!r} was served for this request_id already; an answer that was "
            'computed beside it says "served": false',
        )
    if is_large or len(accounts) >= min(_FEW, route.settings.max_arms):
        _check_room(accounts, waiting, route)
    return None


def _check_room(accounts: Sequence[Waiting | Attributed], waiting: Waiting, route: Route) -> None:
    """Refuse one answer too many, and answers that are too large together: ``limit``."""
    if len(accounts) >= route.settings.max_arms:
        raise RecordError("limit", f"{len(accounts)} arms answered this request, no more are kept")
    if sum(map(answer_bytes, (waiting, *map(prediction_of, accounts)))) > MAX_ANSWERS_BYTES:
        raise RecordError("limit", f"answers to this request have over {MAX_ANSWERS_BYTES} bytes")


_FEW: Final = 100
"""Small answers of so many arms are far below the limit, however long names are."""


def _may_be_large(waiting: Waiting) -> bool:
    return waiting.context is not None or isinstance(waiting.prediction, str | dict)


def is_looked_at(accounts: Sequence[Waiting | Attributed], waiting: Waiting, route: Route) -> bool:
    """Whether the sweep looks at a request when one more answer's window ends, or before that.

    It then finds by itself when to look again. Where requests mature it may have looked already.
    """
    if route.matures_after_ms is not None:
        return False
    # Mostly it is the first one; a generator costs more than all else here.
    return prediction_of(accounts[0]).expires_ms <= waiting.expires_ms or any(
        prediction_of(account).expires_ms <= waiting.expires_ms for account in accounts
    )


def foremost(accounts: Sequence[Waiting | Attributed]) -> Waiting:
    """Return the answer that was served, before it came the first one."""
    for account in accounts:
        waiting = prediction_of(account)
        if waiting.served:
            return waiting
    return prediction_of(accounts[0])


def moved(shared: Shared, at: int, account: Waiting | Attributed) -> Shared:
    """Return an entry whose account number ``at`` is another."""
    accounts = [*shared.accounts]
    accounts[at] = account
    return Shared(accounts, shared.labels)


def shadows_first(accounts: Sequence[Waiting | Attributed]) -> list[int]:
    """Return the numbers of the accounts, that of the served answer last.

    Its record then tells what all others count, before the guard has seen it alone.
    """
    order: list[int] = []
    served: list[int] = []
    for at, account in enumerate(accounts):
        waiting = account.prediction if type(account) is Attributed else account
        (order if type(waiting) is ShadowWaiting else served).append(at)
    return order + served


def with_others(reward: Reward, accounts: Sequence[Waiting | Attributed], at: int) -> Reward:
    """Add what the other accounts count; beside a matured reward only what has matured too.

    The record is new and nobody else's yet: it is changed, since a copy would cost more than it.
    """
    others: dict[str, float] = {}
    beside, is_mature = None, reward.cause == "expiry"
    for number, account in enumerate(accounts):
        if number == at:
            continue
        waiting = account
        if type(account) is Attributed:
            waiting, value = account.prediction, account.reward
            if value is not None and (account.matured or not is_mature):
                others[waiting.arm] = value
        if type(waiting) is not ShadowWaiting:
            beside = prediction_of(waiting).arm
    if others:
        structs.force_setattr(reward, "others", others)
    if beside is not None and not reward.served:
        structs.force_setattr(reward, "beside", beside)
    return reward


def event_of(event: str, waiting: Waiting) -> str:
    """Return under which name an event counts: what happens in shadow counts apart."""
    return "shadow_" + event if type(waiting) is ShadowWaiting else event
