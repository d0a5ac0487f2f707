"""Seeded mutations of good records at every decoder: the quick form of ``make fuzz``."""

import pytest

from drills.fuzz import TARGETS, mutations

_COUNT = 2_000


@pytest.mark.parametrize("name", TARGETS)
def test_decoder_refuses_or_reads_whatever_comes(name: str) -> None:
    """Bent bytes end in a record or in the refusal that is meant for them, in nothing else."""
    target = TARGETS[name]()
    for value in mutations(_COUNT, seed=sum(name.encode())):
        target(value)


def test_mutations_are_the_same_for_a_seed_and_reach_beyond_the_good() -> None:
    """A failure can be run again, and most of what is tried is no record as it was written."""
    tried = list(mutations(200, seed=3))
    assert tried == list(mutations(200, seed=3))
    assert len(set(tried)) > 150
