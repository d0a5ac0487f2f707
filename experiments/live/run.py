"""What a live run is, and what it came to."""

from typing import Any

from msgspec import Struct

from leverframe.experiments.replay import Arrivals, Outcome, replay
from leverframe.experiments.stream import Floats
from leverframe.experiments.table import Table
from leverframe.streams.routes.settings import RouteSettings

__all__ = ["LiveResult", "LiveRun"]


class LiveRun(Struct, frozen=True, kw_only=True):
    """What a route serves, and how.

    Attributes
    ----------
    data, strategy : str
        Names.
    seed : int
        Of the draws.
    table : Table
        Predictions of all arms.
    settings : RouteSettings
        Of the route, in the worker and in the replay.
    matrix : NDArray[np.float64]
        Shape (2, 2): reward by prediction and label.
    beforehand : list of dict
        What is said of each arm when it is registered.
    promotes : bool
        Whether an arm with all traffic is made champion by command.
    """

    data: str
    strategy: str
    seed: int
    table: Table
    settings: RouteSettings
    matrix: Floats
    beforehand: list[dict[str, Any]]
    promotes: bool

    @property
    def route(self) -> str:
        """Name of its route."""
        return f"{self.data}-{self.strategy}-{self.seed}"

    def replayed(self, arrivals: Arrivals) -> Outcome:
        """Do the same by the pure replay."""
        return replay(
            self.table,
            self.settings,
            self.matrix,
            self.beforehand,
            seed=self.seed,
            promotes=self.promotes,
            arrivals=arrivals,
        )


class LiveResult(Struct, frozen=True, kw_only=True):
    """What a live run came to, beside the replay.

    Attributes
    ----------
    run : LiveRun
        What was served.
    seconds : float
        Wall time of the live part.
    digest : str
        Of the route's state, as the control topic says.
    weights : NDArray[np.float64]
        Shape (blocks, K): in force while each block was served.
    decisions : int
        Published.
    replayed : Outcome
        Of the replay.
    """

    run: LiveRun
    seconds: float
    digest: str
    weights: Floats
    decisions: int
    replayed: Outcome

    @property
    def is_equal(self) -> bool:
        """Whether live equals replay."""
        return self.digest == self.replayed.digest
