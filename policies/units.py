"""Whole numbers in which sums are kept, so that any order of arrival gives the same ones."""

from typing import Final

__all__ = ["FROM_NANO", "MICRO", "NANO"]

NANO: Final = 1_000_000_000
"""Parts of a reward of 1; see docs/adr/0006-integer-statistics.md."""
FROM_NANO: Final = 1e-9
"""The same as a factor: a product and a quotient differ in their last bit, which digests see."""
MICRO: Final = 1_000_000
"""Parts of a reward divided by its propensity, and of a feature."""
