"""Which routes may have fallen silent: asked many times a second, whatever the number of routes."""

import heapq
from collections.abc import Iterator

__all__ = ["Deadlines"]


class Deadlines:
    """When each route falls silent unless it is heard again: pure, with time as an argument.

    A route that is heard moves nothing: its deadline is looked at when it comes, and set anew by
    whoever asked. So a heartbeat costs one look-up.

    Examples
    --------
    >>> deadlines = Deadlines()
    >>> deadlines.note("checkout", 15.0)
    >>> [[*deadlines.due(now_s)] for now_s in (15.0, 15.1, 99.0)]
    [[], ['checkout'], []]
    """

    def __init__(self) -> None:
        self._queue: list[tuple[float, str]] = []
        self._earliest_s: dict[str, float] = {}

    def note(self, route: str, deadline_s: float) -> None:
        """Take a route's deadline; a later one than is known changes nothing.

        Parameters
        ----------
        route : str
            Its name.
        deadline_s : float
            Monotonic seconds after which it is silent.
        """
        known_s = self._earliest_s.get(route)
        if known_s is None or deadline_s < known_s:
            self._earliest_s[route] = deadline_s
            heapq.heappush(self._queue, (deadline_s, route))

    def due(self, now_s: float) -> Iterator[str]:
        """Take out the routes whose deadline is over, to be looked at, as they are asked for.

        Parameters
        ----------
        now_s : float
            Monotonic seconds.

        Yields
        ------
        str
            A route; it is watched again from the next ``note`` on.
        """
        for _ in range(len(self._queue)):
            if not self._queue or self._queue[0][0] >= now_s:
                return
            deadline_s, route = heapq.heappop(self._queue)
            if self._earliest_s.get(route) == deadline_s:  # else an earlier one stood for it
                del self._earliest_s[route]
                yield route
