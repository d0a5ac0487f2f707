"""Has an arm fallen below its own past? How soon that is seen, and how it ends."""

import random

import pytest

from leverframe.policies.guard.suspicion import (
    ENOUGH,
    FALLEN,
    MEMORY,
    TOO_LONG,
    Suspicion,
    acquit,
    begin_anew,
    log_share,
    look,
    suspect,
    weigh,
)

NANO = 10**9


class Life:
    """An arm that is looked at after every so many labels."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.suspicion = Suspicion()
        self.firsts = (0, 0)

    def live(self, labels: int, mean: float, every: int = 1) -> int | None:
        """Return the label at which the fall is seen; None while there is none."""
        for at in range(1, labels + 1):
            count, total = self.firsts
            self.firsts = count + 1, total + NANO * (self.rng.random() < mean)
            if at % every == 0:
                look(self.suspicion, self.firsts, 0.02)
                if self.suspicion.nats >= FALLEN:
                    return at
        return None


@pytest.mark.parametrize("every", [1, 64])
def test_fall_is_seen_within_labels(every: int) -> None:
    """From 0.95 to 0.50 within 30 labels or the next look, to 0.80 within 250; in 20 of 20."""
    for seed in range(20):
        for mean, most in ((0.5, 30), (0.8, 250)):
            life = Life(seed)
            if life.live(2000, 0.95, every) is not None:
                continue
            at = life.live(2000, mean, every)
            assert at is not None
            assert at <= most + every


def test_steady_arm_is_rarely_suspected() -> None:
    """Of 40 seeded arms, 3,000 labels each, at most 20 are ever: about once in 8,000 labels."""
    found = sum(Life(seed).live(3000, 0.9) is not None for seed in range(40))
    assert found <= 20


def test_arm_without_a_past_has_nothing_to_fall_from() -> None:
    """The first labels are past, however bad they are."""
    life = Life(1)
    assert life.live(ENOUGH, 0.0) is None
    assert life.suspicion.past == [ENOUGH, life.firsts[1]]


def test_past_is_bounded_and_forgets_by_halves() -> None:
    """Half of it goes when there is too much; what comes in a suspicion is no past."""
    suspicion = Suspicion()
    look(suspicion, (MEMORY, MEMORY * NANO), 0.02)
    assert suspicion.past == [MEMORY // 2, MEMORY // 2 * NANO]
    suspect(suspicion, (MEMORY, MEMORY * NANO), (0, 0), [0, 0])
    look(suspicion, (MEMORY + 10, MEMORY * NANO), 0.02)
    assert suspicion.past[0] == MEMORY // 2
    assert suspicion.nats >= FALLEN


def test_suspicion_ends_as_shared_when_the_reference_fell_as_well() -> None:
    """And not while the reference is as it was; after too many labels it ends in any case."""
    life = Life(3)
    life.live(2000, 0.95)
    own, other = life.firsts, (500, 475 * NANO)
    suspect(life.suspicion, own, other, [500, 475 * NANO])
    life.suspicion.wealth = [0, 0, 0, 9_000_000, 0, 0]
    now = own[0] + 100, own[1] + 60 * NANO
    assert weigh(life.suspicion, now, (600, 570 * NANO), 0.02) is None
    assert weigh(life.suspicion, now, (600, 535 * NANO), 0.02) == "shared"
    late = own[0] + TOO_LONG, own[1] + TOO_LONG * NANO * 6 // 10
    assert weigh(life.suspicion, late, (600, 570 * NANO), 0.02) == "too_long"
    acquit(life.suspicion, now, "shared")
    assert life.suspicion.past == [100, 60 * NANO]
    assert not life.suspicion.is_on
    assert life.suspicion.ended == "shared"


def test_suspicion_fades_when_labels_are_as_before() -> None:
    """The past stays what it was."""
    life = Life(4)
    life.live(2000, 0.95)
    past = list(life.suspicion.past)
    suspect(life.suspicion, life.firsts, (0, 0), [0, 0])
    assert weigh(life.suspicion, life.firsts, (0, 0), 0.02) == "faded"
    acquit(life.suspicion, life.firsts, "faded")
    assert life.suspicion.past == past


def test_label_counts_once_when_the_past_begins_anew() -> None:
    """Labels of a reference that is given a new past are looked at no more."""
    suspicion = Suspicion()
    begin_anew(suspicion, (50, 40 * NANO), (10, 5 * NANO))
    look(suspicion, (50, 40 * NANO), 0.02)
    assert suspicion.past == [10, 5 * NANO]


def test_share_of_a_fall_is_judged_with_the_error_of_the_past() -> None:
    """The same labels of a reference say less where little was known of it."""
    much = log_share((9000, 8100.0), (200, 140.0), (1000, 900.0), (150, 105.0), 0.02)
    little = log_share((9000, 8100.0), (200, 140.0), (100, 90.0), (150, 105.0), 0.02)
    assert much > little > 0
    assert log_share((9000, 8100.0), (200, 140.0), (1000, 900.0), (150, 135.0), 0.02) < 0
