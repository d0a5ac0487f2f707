"""River's drift detectors on one arm against its own past, as pure functions of its latest rewards.

The state of a detector is the plain list of rewards since its last drift, at most ``memory`` of
them; the detector is built from it when asked. So nothing is pickled, a replay gives the same
answer, and it does not matter where a micro-batch ended. Revisions of older labels do not reach a
detector.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from leverframe.policies.factory import Family, build
from leverframe.schemas.errors import PolicyError

__all__ = ["DETECTORS", "FAMILY", "Adwin", "Detector", "Kswin", "PageHinkley", "make_detector"]


class Detector(Protocol):
    """Says whether the newest rewards of an arm differ from those before.

    Attributes
    ----------
    name : str
        The word used in settings.
    """

    name: ClassVar[str]

    @property
    def memory(self) -> int:
        """Rewards it looks at."""
        ...

    def detects(self, rewards: Sequence[float], newest: int) -> bool:
        """Return whether a drift shows in the last ``newest`` of the rewards, oldest first."""
        ...


def _river() -> Any:
    """River's detectors, untyped; importing them takes a second, and most routes have none."""
    from river import drift

    return drift


def _shows(detector: Any, rewards: Sequence[float], newest: int) -> bool:
    """Run a sequential detector over all rewards; only the newest may raise."""
    before = max(0, len(rewards) - newest)
    for reward in rewards[:before]:
        detector.update(reward)
    for reward in rewards[before:]:
        detector.update(reward)
        if detector.drift_detected:
            return True
    return False


def _require(condition: object, name: str, text: str) -> None:
    if not condition:
        raise PolicyError(f"{name}: {text}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adwin:
    """Adaptive windowing: two parts of the window have different means.

    Parameters
    ----------
    delta : float
        Confidence, in (0, 1): smaller means fewer false alarms.
    memory : int
        Rewards looked at, 64 to 4096.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Bifet and Gavalda (2007), Learning from time-changing data with adaptive windowing, section 3.

    Examples
    --------
    >>> Adwin().detects([1.0] * 200 + [0.0] * 100, 100)
    True
    """

    name: ClassVar[str] = "adwin"
    delta: float = 0.002
    memory: int = 512

    def __post_init__(self) -> None:
        """Refuse parameters outside their range."""
        _require(0 < self.delta < 1, self.name, f"delta must lie in (0, 1), got {self.delta}")
        _require(64 <= self.memory <= 4096, self.name, "memory must lie in 64 to 4096")

    def detects(self, rewards: Sequence[float], newest: int) -> bool:
        """Return whether the window was cut by one of the newest rewards."""
        return _shows(_river().ADWIN(delta=self.delta), rewards, newest)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageHinkley:
    """Page-Hinkley test: the sum of deviations from the mean has come far.

    Parameters
    ----------
    delta : float
        Deviation that does not count, reward units, not negative.
    threshold : float
        Sum of deviations at which it raises, reward units, positive.
    memory : int
        Rewards looked at, 64 to 4096.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Page (1954), Continuous inspection schemes, Biometrika 41.

    Examples
    --------
    >>> PageHinkley().detects([1.0] * 200 + [0.0] * 100, 100)
    True
    """

    name: ClassVar[str] = "page_hinkley"
    delta: float = 0.005
    threshold: float = 20.0
    memory: int = 512

    def __post_init__(self) -> None:
        """Refuse parameters outside their range."""
        _require(
            math.isfinite(self.delta) and self.delta >= 0,
            self.name,
            "delta must not be negative",
        )
        _require(
            math.isfinite(self.threshold) and self.threshold > 0,
            self.name,
            "threshold must be positive",
        )
        _require(64 <= self.memory <= 4096, self.name, "memory must lie in 64 to 4096")

    def detects(self, rewards: Sequence[float], newest: int) -> bool:
        """Return whether the sum passed the threshold at one of the newest rewards."""
        detector = _river().PageHinkley(delta=self.delta, threshold=self.threshold)
        return _shows(detector, rewards, newest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kswin:
    """Kolmogorov-Smirnov windowing: the newest rewards are distributed differently.

    Parameters
    ----------
    alpha : float
        Level of one test, in (0, 1). It is tested again and again: choose it small.
    memory : int
        Rewards looked at, 64 to 4096; the newest 30 are compared with 30 of the others.

    Raises
    ------
    PolicyError
        If a parameter lies outside its range.

    References
    ----------
    Raab, Heusinger and Schleif (2020), Reactive soft prototype computing for concept drift streams.

    Examples
    --------
    >>> Kswin().detects([1.0] * 200 + [0.0] * 40, 40)
    True
    """

    name: ClassVar[str] = "kswin"
    alpha: float = 0.002
    memory: int = 128

    def __post_init__(self) -> None:
        """Refuse parameters outside their range."""
        _require(0 < self.alpha < 1, self.name, f"alpha must lie in (0, 1), got {self.alpha}")
        _require(64 <= self.memory <= 4096, self.name, "memory must lie in 64 to 4096")

    def detects(self, rewards: Sequence[float], newest: int) -> bool:
        """Return whether the newest 30 differ from 30 earlier ones, drawn with a fixed seed."""
        del newest
        window = list(rewards[-self.memory :])
        if len(window) < self.memory:
            return False
        detector = _river().KSWIN(
            alpha=self.alpha, window_size=self.memory, stat_size=30, seed=1, window=window[:-1]
        )
        detector.update(window[-1])
        return bool(detector.drift_detected)


DETECTORS: Final[Mapping[str, type[Detector]]] = {
    kind.name: kind for kind in (Adwin, PageHinkley, Kswin)
}

FAMILY: Final = Family(
    what="detector",
    kinds=DETECTORS,
    group="",
    method="detects",
    page="docs/detectors.md",
)


def make_detector(name: str, params: Mapping[str, object]) -> Detector:
    """Build a detector; the rules are those of ``policies.factory.build``.

    Parameters
    ----------
    name : str
        One of ``DETECTORS``.
    params : mapping of str to object
        Parameters by name; those left out keep their defaults.

    Returns
    -------
    Detector
        Ready to use, frozen.

    Notes
    -----
    Imports River now, when the worker starts, and not while labels wait.
    """
    detector: Detector = build(FAMILY, name, params)
    _river()
    return detector
