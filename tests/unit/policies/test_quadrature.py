"""P(arm is best): against closed forms, against chance, and where it could go wrong."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betaln, ndtr

from leverframe.policies.quadrature import best_of_betas, best_of_normals
from leverframe.policies.quadrature_normals import best_of_normals_by_row

STATED_ERROR = 1e-6


def second_beats_first(a: float, b: float, c: int, d: float) -> float:
    """P(Y > X) for X ~ Beta(a, b), Y ~ Beta(c, d) with whole c: an exact finite sum."""
    i = np.arange(c)
    terms = betaln(a + i, b + d) - np.log(d + i) - betaln(1 + i, d) - betaln(a, b)
    return math.fsum(np.exp(terms))


@pytest.mark.parametrize("largest", [10, 1000, 100_000])
def test_best_of_betas_agrees_with_the_closed_form(largest: int) -> None:
    """For two arms, any whole parameters, within the stated error (seen: 1e-7)."""
    rng = np.random.default_rng(7)
    for a, b, c, d in np.floor(np.exp(rng.uniform(0, math.log(largest), (100, 4)))).tolist():
        chance = best_of_betas(np.array([a, c]), np.array([b, d]))[1]
        assert chance == pytest.approx(second_beats_first(a, b, int(c), d), abs=STATED_ERROR)


@pytest.mark.parametrize(
    ("alpha", "beta"),
    [
        ([1.0, 2.0, 3.0], [1.0, 1.0, 5.0]),
        ([31.0, 33.0, 36.0, 30.0], [71.0, 70.0, 66.0, 75.0]),
        ([0.5, 0.5, 40.5], [0.5, 3.5, 60.5]),
        ([5001.0, 1.0, 12.0, 5050.0], [5001.0, 1.0, 9.0, 4990.0]),
    ],
)
def test_best_of_betas_agrees_with_chance(alpha: list[float], beta: list[float]) -> None:
    """Within 5 standard errors of 2 million seeded draws (false alarm under 1e-5)."""
    n = 2_000_000
    rng = np.random.default_rng(11)
    draws = np.stack([rng.beta(a, b, n) for a, b in zip(alpha, beta, strict=True)])
    seen = np.bincount(draws.argmax(axis=0), minlength=len(alpha)) / n
    chances = best_of_betas(np.array(alpha), np.array(beta))
    assert (np.abs(chances - seen) <= 5 * np.sqrt(chances * (1 - chances) / n) + 1e-6).all()


def test_best_of_normals_agrees_with_the_closed_form() -> None:
    """For two arms: Phi of the standardised difference, whatever the two scales."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        mean = rng.uniform(-1, 1, 2)
        deviation = 10 ** rng.uniform(-6, 1, 2)
        exact = ndtr((mean[1] - mean[0]) / math.hypot(*deviation))
        assert best_of_normals(mean, deviation)[1] == pytest.approx(exact, abs=STATED_ERROR)


def test_best_of_betas_becomes_normal_at_high_counts() -> None:
    """At 1e9 labels an arm, Beta and normal posteriors agree: no cancellation is left."""
    n, mean = 1e9, np.array([0.5, 0.50001, 0.50002])
    normal = best_of_normals(mean, np.sqrt(mean * (1 - mean) / n))
    assert np.abs(best_of_betas(n * mean, n * (1 - mean)) - normal).max() <= STATED_ERROR


def test_best_of_betas_sees_a_needle_in_a_haystack() -> None:
    """One arm of 1e9 labels among unknown ones: best with the chance that all others lie below."""
    alpha, beta = np.array([1.0, 8e8, 1.0]), np.array([1.0, 2e8, 1.0])
    chances = best_of_betas(alpha, beta)
    assert chances == pytest.approx([0.18, 0.64, 0.18], abs=1e-6)


@pytest.mark.parametrize("n", [1e0, 1e3, 1e9, 1e12])
def test_best_of_betas_splits_ties_exactly(n: float) -> None:
    """Equal posteriors get equal bits, also beside other arms."""
    alpha, beta = np.array([n, n + 1, n, n]), np.array([n, n, n, n])
    chances = best_of_betas(alpha, beta).tolist()
    assert chances[0] == chances[2] == chances[3] < chances[1]
    assert best_of_betas(alpha[:1].repeat(3), beta[:1].repeat(3)).tolist() == [1 / 3] * 3


def test_best_of_betas_gives_hopeless_arms_nothing() -> None:
    """Arms that lie apart by far are decided, and cost no panel."""
    alpha = np.array([9e8, 1e8, 1.0, 5e8])
    assert best_of_betas(alpha, 1e9 - alpha + 1.0)[0] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("prior", [1e-3, 0.1, 0.5, 3.0])
def test_best_of_betas_takes_any_prior(prior: float) -> None:
    """Posteriors that pile up at 0 and 1 are as smooth as others in log-odds."""
    alpha = np.array([prior, prior, prior + 1.0])
    beta = np.array([prior, prior + 4.0, prior])
    chances = best_of_betas(alpha, beta)
    rng = np.random.default_rng(5)
    # Gamma(a) = Gamma(a + 1) U^(1/a), in logs, so that tiny shapes do not underflow.
    log_odds = log_gamma(rng, alpha) - log_gamma(rng, beta)
    seen = np.bincount(log_odds.argmax(axis=0), minlength=3) / log_odds.shape[1]
    assert np.abs(chances - seen).max() <= 5 * 0.5 / math.sqrt(log_odds.shape[1])


@pytest.mark.parametrize("n_arms", [1, 2, 10, 60])
@pytest.mark.parametrize("decades", [0.0, 1.0, 6.0])
def test_best_of_normals_by_row_agrees_with_one_at_a_time(n_arms: int, decades: float) -> None:
    """Each situation gets what it gets alone, equal arms or not, whatever their scales."""
    rng = np.random.default_rng(13)
    for spread in (0.0, 0.1, 1.0, 30.0):
        deviation = 10 ** rng.uniform(-decades, 0, (12, n_arms))
        mean = spread * rng.normal(size=(12, n_arms)) * deviation
        again = rng.integers(0, n_arms, n_arms)
        for means, deviations in ((mean, deviation), (mean[:, again], deviation[:, again])):
            got = best_of_normals_by_row(means, deviations)
            alone = [best_of_normals(*row) for row in zip(means, deviations, strict=True)]
            assert np.abs(got - np.array(alone)).max() <= STATED_ERROR


def test_best_of_normals_by_row_agrees_with_the_closed_form() -> None:
    """For two arms: Phi of the standardised difference, far below the stated error."""
    rng = np.random.default_rng(3)
    mean, deviation = rng.uniform(-1, 1, (200, 2)), 10 ** rng.uniform(-6, 1, (200, 2))
    exact = ndtr((mean[:, 1] - mean[:, 0]) / np.hypot(deviation[:, 0], deviation[:, 1]))
    assert np.abs(best_of_normals_by_row(mean, deviation)[:, 1] - exact).max() <= 1e-8


def test_best_of_normals_by_row_follows_the_arms_bit_for_bit() -> None:
    """Another order of the arms gives the same bits in that order, and equal arms equal bits."""
    rng = np.random.default_rng(17)
    mean, deviation = rng.normal(size=(30, 9)), 10 ** rng.uniform(-2, 0, (30, 9))
    mean[:, 4], deviation[:, 4] = mean[:, 7], deviation[:, 7]
    expected, order = best_of_normals_by_row(mean, deviation), rng.permutation(9)
    got = best_of_normals_by_row(mean[:, order], deviation[:, order])
    assert got.tolist() == expected[:, order].tolist()
    assert expected[:, 4].tolist() == expected[:, 7].tolist()


def test_best_of_normals_by_row_survives_deviations_lost_beside_the_means() -> None:
    """Where a deviation changes no bit of its mean, the higher mean is best."""
    mean = np.array([[0.0, -1.0, -1e12], [1e6, 1e6 + 1.0, 0.0]])
    deviation = np.array([[1e-9, 1e-20, 1e-9], [1e-12, 1e-12, 1e-9]])
    assert best_of_normals_by_row(mean, deviation).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def log_gamma(rng: np.random.Generator, shapes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logs of 300,000 draws of each Gamma variable."""
    size = (len(shapes), 300_000)
    draws = np.log(rng.gamma(shapes[:, None] + 1.0, size=size))
    return draws + np.log(rng.uniform(size=size)) / shapes[:, None]
