"""Two arms on the same requests: sums of the difference of their rewards, for life and of late.

Sums are whole numbers of 1e-9, so that a revision takes out exactly what was counted. The rows of
late lie in blocks, by which a policy forgets; a revision finds its block by the stream time at
which the request first counted.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct, field

from leverframe.policies.reward_base import to_unit
from leverframe.policies.statistics import PairStats
from leverframe.policies.units import NANO
from leverframe.schemas.reward import Reward
from leverframe.streams.routes.route import Route

__all__ = ["MOST_ARMS", "Pair", "count_pairs", "pair_key", "pair_stats", "rewards_beside"]

BLOCK_ROWS: Final = 32
MOST_BLOCKS: Final = 64
MOST_ARMS: Final = 12
"""Arms among which every pair is kept; those registered later meet the champion alone."""


class Pair(Struct, array_like=True):
    """What is known of two arms that answered the same requests; differences are first - second.

    Attributes
    ----------
    rows : int
        Requests on which both have a reward in force.
    sum_nano, square_nano : int
        Of the differences, and of their squares.
    blocks : list of list of int
        Oldest first: begin (stream time, ms), requests that came, then rows and both sums in force.
    """

    rows: int = 0
    sum_nano: int = 0
    square_nano: int = 0
    blocks: list[list[int]] = field(default_factory=list)


def pair_key(first: str, second: str) -> str:
    """Return the name of a pair; the arm that was registered first comes first."""
    return f"{first}\n{second}"


def count_pairs(
    pairs: dict[str, Pair], registrations: Mapping[str, int], champion: str | None,
    reward: Reward, route: Route,
) -> None:  # fmt: skip
    """Count a reward against those of the other arms on the same request.

    ``registrations`` are the numbers of the arms that the route knows; others are passed over.
    """
    own = registrations[reward.arm]
    now = None if reward.reward is None else _unit(reward.reward, route)
    before = None if reward.previous_reward is None else _unit(reward.previous_reward, route)
    counted_ms = reward.attributed_at_ms if reward.counted_at_ms is None else reward.counted_at_ms
    for name, value in (reward.others or {}).items():
        other = registrations.get(name)
        if other is None:
            continue
        if champion not in {reward.arm, name} and max(own, other) > MOST_ARMS:
            continue
        is_first = own < other
        key = pair_key(reward.arm, name) if is_first else pair_key(name, reward.arm)
        pair = pairs.setdefault(key, Pair())
        block = _block_of(pair, counted_ms, comes=now is not None and before is None)
        rival, sign = _unit(value, route), 1 if is_first else -1
        for mine, count in ((before, -1), (now, 1)):
            if mine is not None:
                _add(pair, block, sign * (mine - rival), count)


def rewards_beside(reward: Reward, route: Route) -> dict[str, int]:
    """Return what the others earned on a served request, in 1e-9; nothing where it is no pair.

    A label that depends on the answer says nothing of an answer that was not given.
    """
    if reward.others is None or not reward.served or route.settings.label_depends_on_answer:
        return {}
    return {name: round(_unit(value, route) * NANO) for name, value in reward.others.items()}


def _unit(value: float, route: Route) -> float:
    return to_unit(value, route.reward_low, route.reward_high)


def _add(pair: Pair, block: list[int] | None, difference: float, sign: int) -> None:
    nano, square = sign * round(difference * NANO), sign * round(difference * difference * NANO)
    pair.rows += sign
    pair.sum_nano += nano
    pair.square_nano += square
    if block is not None:
        block[2] += sign
        block[3] += nano
        block[4] += square


def _block_of(pair: Pair, counted_ms: int, *, comes: bool) -> list[int] | None:
    """The block of a request; None where it is forgotten."""
    blocks = pair.blocks
    if comes and (not blocks or blocks[-1][1] >= BLOCK_ROWS):
        # Begins never fall, whatever the clocks say.
        begin_ms = max(counted_ms, blocks[-1][0]) if blocks else counted_ms
        blocks.append([begin_ms, 0, 0, 0, 0])
        del blocks[:-MOST_BLOCKS]
    if comes:
        blocks[-1][1] += 1
        return blocks[-1]
    at = bisect_right(blocks, counted_ms, key=lambda block: block[0]) - 1
    # The other arm may have counted a little later: a row is where the later of the two put it.
    at = max(at, 0) if len(blocks) < MOST_BLOCKS else at
    return blocks[at] if 0 <= at < len(blocks) else None


def pair_stats(pairs: Mapping[str, Pair], names: Sequence[str]) -> PairStats | None:
    """Lay the pairs of K arms out, in the order of registration; None where none was counted."""
    if not pairs:
        return None
    position = {name: at for at, name in enumerate(names)}
    depth = max(len(pair.blocks) for pair in pairs.values())
    cube = np.zeros((3, depth, len(names), len(names)))
    for key, pair in pairs.items():
        first, _, second = key.partition("\n")
        i, j = position.get(first), position.get(second)
        if i is None or j is None or not pair.blocks:
            continue
        newest_first = np.array(pair.blocks[::-1], dtype=np.float64)[:, 2:]
        newest_first[:, 1:] /= NANO
        count, total, square = newest_first.T
        cube[:, : len(count), i, j] = count, total, square
        cube[:, : len(count), j, i] = count, -total, square
    return PairStats(rows=cube[0], difference_sum=cube[1], difference_square_sum=cube[2])
