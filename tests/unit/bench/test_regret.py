"""The regret benchmark's own arithmetic."""

import math

import numpy as np
import pytest

from bench.regret import bernoulli_kl, lai_robbins, play
from leverframe.policies.epsilon_greedy import EpsilonGreedy
from leverframe.policies.thompson import Thompson

MEANS = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.55])


def test_lai_robbins_is_the_closed_form() -> None:
    """Five gaps of 0.05 over the divergence of the two coins, times log(rounds)."""
    divergence = 0.5 * math.log(0.5 / 0.55) + 0.5 * math.log(0.5 / 0.45)
    assert bernoulli_kl(0.5, 0.55) == pytest.approx(divergence)
    assert lai_robbins(MEANS, 100_000) == pytest.approx(5 * 0.05 / divergence * math.log(1e5))


def test_play_counts_the_regret_of_equal_weights() -> None:
    """Weights that are always equal lose five sixths of the gap at each round."""
    regret, weights = play(EpsilonGreedy(epsilon=1.0), lambda _: MEANS, 60_000, 100, 1)
    assert np.allclose(weights, 1 / 6)
    # Sum of 60,000 draws of 0 or 0.05: standard deviation 4.6; six of them leave 2e-9 to chance.
    assert abs(regret - 60_000 * 0.05 * 5 / 6) < 28


def test_play_is_the_same_for_a_seed() -> None:
    """The same seed plays the same game."""
    first, again, other = (
        play(Thompson(), lambda _: MEANS, 5000, 100, seed)[0] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
