"""What policies and guards see: the statistics of the arms of one route, as arrays.

Everything is additive, so that a revision is a subtraction and a replay gives the same bits; see
docs/adr/0006-integer-statistics.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArmStats", "LinearStats", "PairStats", "TimeBuckets", "no_buckets"]

Float64: TypeAlias = NDArray[np.float64]
Int64: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeBuckets:
    """Statistics of K arms in B consecutive-in-order time buckets, oldest first.

    Attributes
    ----------
    width_ms : int
        Length of every bucket, milliseconds.
    start_ms : NDArray[np.int64]
        Shape (B,): start of each bucket, ms since the epoch, rising; empty buckets are left out.
    count : NDArray[np.float64]
        Shape (B, K): labels.
    reward_sum : NDArray[np.float64]
        Shape (B, K): sum of rewards mapped to [0, 1].
    reward_square_sum : NDArray[np.float64]
        Shape (B, K): sum of their squares.
    """

    width_ms: int
    start_ms: Int64
    count: Float64
    reward_sum: Float64
    reward_square_sum: Float64

    def weighted(self, weights: Float64) -> tuple[Float64, Float64, Float64]:
        """Return count, sum and sum of squares per arm, bucket b counted ``weights[b]`` times.

        Parameters
        ----------
        weights : NDArray[np.float64]
            Shape (B,), dimensionless, not negative.

        Returns
        -------
        tuple of NDArray[np.float64]
            Three arrays of shape (K,).
        """
        return weights @ self.count, weights @ self.reward_sum, weights @ self.reward_square_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearStats:
    """What linear models of the reward need, for K arms and d context features.

    Attributes
    ----------
    gram : NDArray[np.float64]
        Shape (K, d, d): sum of x x' over the arm's labels, without regularisation.
    moment : NDArray[np.float64]
        Shape (K, d): sum of reward times x, rewards mapped to [0, 1].
    recent : NDArray[np.float64]
        Shape (m, d): the latest contexts of the route, oldest first; m may be 0.
    """

    gram: Float64
    moment: Float64
    recent: Float64


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStats:
    """Differences of rewards of K arms on the same requests, in B blocks of rows, newest first.

    Attributes
    ----------
    rows : NDArray[np.float64]
        Shape (B, K, K), symmetric: requests on which both arms have a reward.
    difference_sum : NDArray[np.float64]
        Shape (B, K, K), antisymmetric: reward of the first arm minus that of the second, both
        mapped to [0, 1].
    difference_square_sum : NDArray[np.float64]
        Shape (B, K, K), symmetric: sum of their squares.
    """

    rows: Float64
    difference_sum: Float64
    difference_square_sum: Float64

    def of_late(self, half_life: float) -> tuple[Float64, Float64, Float64, Float64]:
        """Return what the newest rows say of each pair.

        Parameters
        ----------
        half_life : float
            Rows after which a row counts half, above 0.

        Returns
        -------
        tuple of NDArray[np.float64]
            Four arrays of shape (K, K): rows, each counted by its age; mean difference, 0 without
            rows; its standard error, infinite without rows; mean squared difference.
        """
        newer = np.cumsum(self.rows, axis=0) - self.rows
        weight = 0.5 ** ((newer + self.rows / 2) / half_life)
        rows = (weight * self.rows).sum(axis=0)
        known = rows > 0
        safe = np.where(known, rows, 1.0)
        mean = (weight * self.difference_sum).sum(axis=0) / safe
        square = (weight * self.difference_square_sum).sum(axis=0) / safe
        squares = np.maximum((weight**2 * self.rows).sum(axis=0), np.finfo(np.float64).tiny)
        worth = np.where(known, rows**2 / squares, 1.0)
        error = np.sqrt(np.maximum(square - mean**2, 0.0) / worth)
        return rows, mean, np.where(known, error, np.inf), square


def no_buckets(n_arms: int) -> TimeBuckets:
    """Return buckets for K arms that hold nothing.

    Parameters
    ----------
    n_arms : int
        K.

    Returns
    -------
    TimeBuckets
        With B = 0 and a width of one second.
    """
    empty = np.zeros((0, n_arms))
    return TimeBuckets(
        width_ms=1000,
        start_ms=np.zeros(0, dtype=np.int64),
        count=empty,
        reward_sum=empty,
        reward_square_sum=empty,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmStats:
    """Statistics of the K arms of a route, in the order of their registration.

    Attributes
    ----------
    count : NDArray[np.float64]
        Shape (K,): labels counted over the arm's life (whole numbers).
    reward_sum : NDArray[np.float64]
        Shape (K,): sum of rewards mapped to [0, 1].
    reward_square_sum : NDArray[np.float64]
        Shape (K,): sum of their squares.
    inverse_propensity_sum : NDArray[np.float64]
        Shape (K,): sum of reward / propensity (0 where no propensity was logged).
    eligible : NDArray[np.bool_]
        Shape (K,): may this arm receive traffic at all?
    champion : int
        Index of the champion, or -1 when the route has none.
    validation_score : NDArray[np.float64]
        Shape (K,): score on held-out data given at registration, NaN where none was given.
    registered_at_ms : NDArray[np.int64]
        Shape (K,): ms since the epoch.
    buckets : TimeBuckets
        The same statistics by time, for windows and discounting.
    linear : LinearStats or None
        For policies on the context; None where the route keeps none.
    pairs : PairStats or None
        For policies on common rows; None where no request was answered by two arms.
    validation_count : NDArray[np.float64] or None
        Shape (K,): rows of that held-out data, NaN where it was not said; None: nowhere.
    prior : NDArray[np.float64] or None
        Shape (K, 2): successes and failures from before an arm's first label, which ``count``, all
        sums and ``buckets`` contain; None where no arm has any.
    names : tuple of str
        Of the K arms; empty where nobody said them.
    """

    count: Float64
    reward_sum: Float64
    reward_square_sum: Float64
    inverse_propensity_sum: Float64
    eligible: NDArray[np.bool_]
    champion: int
    validation_score: Float64
    registered_at_ms: Int64
    buckets: TimeBuckets = field(default_factory=lambda: no_buckets(0))
    linear: LinearStats | None = None
    pairs: PairStats | None = None
    validation_count: Float64 | None = None
    prior: Float64 | None = None
    names: tuple[str, ...] = ()

    @property
    def n_arms(self) -> int:
        """K."""
        return len(self.count)

    @property
    def mean(self) -> Float64:
        """Mean reward per arm, shape (K,), in [0, 1]; NaN for an arm without labels."""
        means = np.full(self.n_arms, np.nan)
        np.divide(self.reward_sum, self.count, out=means, where=self.count > 0)
        return means

    def without_prior(self) -> Self:
        """Return lifetime statistics of labels alone, for tests: a prior is no evidence.

        Returns
        -------
        ArmStats
            The same object where no arm has a prior. Time buckets stay as they are.
        """
        if self.prior is None:
            return self
        successes = self.prior[:, 0]
        return replace(
            self,
            count=self.count - self.prior.sum(axis=1),
            reward_sum=self.reward_sum - successes,
            reward_square_sum=self.reward_square_sum - successes,
            inverse_propensity_sum=self.inverse_propensity_sum - successes,
            prior=None,
        )

    @classmethod
    def of(
        cls,
        count: object,
        reward_sum: object,
        *,
        eligible: object = None,
        champion: int = 0,
        validation_score: object = None,
        reward_square_sum: object = None,
        registered_at_ms: object = None,
        names: Sequence[str] = (),
    ) -> Self:
        """Build statistics from plain lists, for examples, simulations and tests.

        Parameters
        ----------
        count : array_like
            Shape (K,): labels.
        reward_sum : array_like
            Shape (K,): sum of rewards in [0, 1].
        eligible : array_like, optional
            Shape (K,); all arms when left out.
        champion : int
            Index of the champion.
        validation_score : array_like, optional
            Shape (K,); NaN when left out.
        reward_square_sum : array_like, optional
            Shape (K,); the sum when left out, which is right for rewards of 0 and 1.
        registered_at_ms : array_like, optional
            Shape (K,); 0, 1, 2, ... when left out.
        names : sequence of str, optional
            Of the arms.

        Returns
        -------
        ArmStats
            Without time buckets and without inverse propensities.

        Examples
        --------
        >>> ArmStats.of([10, 10], [2.0, 8.0]).mean
        array([0.2, 0.8])
        """
        counts = np.asarray(count, dtype=np.float64)
        sums = np.asarray(reward_sum, dtype=np.float64)
        k = len(counts)
        return cls(
            count=counts,
            reward_sum=sums,
            reward_square_sum=(
                sums.copy()
                if reward_square_sum is None
                else np.asarray(reward_square_sum, dtype=np.float64)
            ),
            inverse_propensity_sum=np.zeros(k),
            eligible=np.ones(k, bool) if eligible is None else np.asarray(eligible, dtype=bool),
            champion=champion,
            validation_score=(
                np.full(k, np.nan)
                if validation_score is None
                else np.asarray(validation_score, dtype=np.float64)
            ),
            registered_at_ms=(
                np.arange(k, dtype=np.int64)
                if registered_at_ms is None
                else np.asarray(registered_at_ms, dtype=np.int64)
            ),
            buckets=no_buckets(k),
            names=tuple(names),
        )
