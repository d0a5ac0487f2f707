"""Several answers to one request: who may join it, and what each reward says of the others.

Every arm's answer is an account of its own with its own window; a label moves all of them.
"""

from collections.abc import Sequence

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

__all__ = ["check_answer", "event_of", "moved", "shadows_first", "with_others"]


def check_answer(waiting: Waiting, accounts: Sequence[Waiting | Attributed], route: Route) -> None:
    """Refuse an answer of one more arm that cannot stand beside the others (``RecordError``).

    ``conflict`` for another route, or a second one that was served; ``limit`` for too many.
    """
    others = [prediction_of(account) for account in accounts]
    if any(other.route != waiting.route for other in others):
        raise RecordError(
            "conflict",
            f"a prediction with this request_id came first, on route {others[0].route!r}",
        )
    served = [other.arm for other in others if other.served]
    if waiting.served and served:
        raise RecordError(
            "conflict",
            f"arm {served[0]!r} was served for this request_id already; an answer that was "
            'computed beside it says "served": false',
        )
    if len(accounts) >= route.settings.max_arms:
        raise RecordError("limit", f"{len(accounts)} arms answered this request, no more are kept")
    if sum(map(answer_bytes, (waiting, *others))) > MAX_ANSWERS_BYTES:
        raise RecordError("limit", f"answers to this request have over {MAX_ANSWERS_BYTES} bytes")


def moved(shared: Shared, at: int, account: Waiting | Attributed) -> Shared:
    """Return an entry whose account number ``at`` is another."""
    accounts = [*shared.accounts]
    accounts[at] = account
    return Shared(accounts, shared.labels)


def shadows_first(accounts: Sequence[Waiting | Attributed]) -> list[int]:
    """Return the numbers of the accounts, that of the served answer last.

    Its record then tells what all others count, before the guard has seen it alone.
    """
    return sorted(range(len(accounts)), key=lambda at: prediction_of(accounts[at]).served)


def with_others(reward: Reward, accounts: Sequence[Waiting | Attributed], at: int) -> Reward:
    """Add what the other accounts count; beside a matured reward only what has matured too."""
    others = {
        account.prediction.arm: account.reward
        for number, account in enumerate(accounts)
        if number != at
        and isinstance(account, Attributed)
        and account.reward is not None
        and (account.matured or reward.cause != "expiry")
    }
    served = [one.arm for one in map(prediction_of, accounts) if one.served]
    beside = served[0] if served and not reward.served else None
    return structs.replace(reward, others=others or None, beside=beside)


def event_of(event: str, waiting: Waiting) -> str:
    """Return under which name an event counts: what happens in shadow counts apart."""
    return "shadow_" + event if type(waiting) is ShadowWaiting else event
