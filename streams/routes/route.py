"""What the settings say about each route, compiled once."""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from leverframe.policies.base import Policy
from leverframe.policies.detectors import Detector, make_detector
from leverframe.policies.registry import make_policy
from leverframe.policies.reward_base import RewardFunction
from leverframe.policies.rewards import make_reward
from leverframe.schemas.errors import PolicyError, RecordError
from leverframe.streams.routes.authority import ActorSettings, Authority
from leverframe.streams.routes.faults import route_faults, told
from leverframe.streams.routes.metrics import Metric, compiled
from leverframe.streams.routes.periods import DAY_MS, period_ms
from leverframe.streams.routes.settings import OTHER_ROUTES, Combine, RouteSettings
from leverframe.streams.routes.windows import is_open

__all__ = ["Route", "RouteTable", "Routes", "compile_route", "compile_routes", "written_route"]


class Route(Struct, frozen=True, kw_only=True):
    """A route's settings with its functions built.

    Attributes
    ----------
    settings : RouteSettings
        As written.
    reward : RewardFunction
        Built from ``settings.reward``.
    reward_low, reward_high : float
        The reward's range, in its own unit, with what metrics may add.
    policy : Policy
        Built from ``settings.policy``.
    shadow : dict of str to Policy
        Built from ``settings.shadow``, by name.
    detectors : list of (str, Detector)
        What a drift does, and the detector, built from ``settings.detectors``.
    window_ms : int
        Attribution window.
    default_reward : float or None
        Of a request whose label did not come in time.
    matures_after_ms : int or None
        Age of a request, from the prediction's record time, at which it counts its default reward
        and the guard looks at it; None where the guard looks at labels as they come.
    combine_parts : str or None
        How parts of a label make one.
    compares_classes : bool
        Whether the reward asks if two classes are the same.
    max_requests_per_s : float or None
        More than that are not counted.
    reassign_ms : int or None
        How long a salt is in force; None: for ever.
    unit_period_ms : int
        In which the guard and the mix test count a unit once.
    metrics : tuple of Metric
        Built from ``settings.metrics``.
    prices : tuple of Metric
        Those of them that are part of the reward.
    """

    settings: RouteSettings
    reward: RewardFunction
    reward_low: float
    reward_high: float
    policy: Policy
    shadow: dict[str, Policy]
    detectors: list[tuple[str, Detector]]
    window_ms: int
    default_reward: float | None
    matures_after_ms: int | None
    combine_parts: Combine | None
    compares_classes: bool
    max_requests_per_s: float | None
    reassign_ms: int | None
    unit_period_ms: int
    metrics: tuple[Metric, ...]
    prices: tuple[Metric, ...]

    def is_holdout(self, arm: str) -> bool:
        """Whether an arm is kept to measure the others by, so that it may be worse than they are.

        Parameters
        ----------
        arm : str
            Its name.

        Returns
        -------
        bool
            False where the route has no holdout.
        """
        holdout = self.settings.holdout
        return holdout is not None and holdout.arm == arm

    def may_change(self, now_ms: int) -> bool:
        """Whether promotions and ramps may move on at a stream time; rollbacks never wait.

        Parameters
        ----------
        now_ms : int
            Ms since the epoch.

        Returns
        -------
        bool
            True where the route has no window for changes.
        """
        window = self.settings.change_window
        return window is None or is_open(
            now_ms,
            not_before=window.not_before,
            days=list(window.days),
            hours=window.hours,
            time_zone=window.time_zone,
        )


def compile_route(settings: RouteSettings) -> Route:
    """Build what the settings of a route name, which have no faults."""
    reward = make_reward(settings.reward.name, settings.reward.params)
    low, high = reward.range
    metrics = compiled(settings.metrics)
    prices = tuple(one for one in metrics if one.settings.role == "reward")
    reassign_ms = None if settings.reassign_units is None else period_ms(settings.reassign_units)
    return Route(
        settings=settings,
        reward=reward,
        reward_low=low + sum(one.price_range[0] for one in prices),
        reward_high=high + sum(one.price_range[1] for one in prices),
        policy=make_policy(settings.policy.name, settings.policy.params),
        shadow={shadow.name: make_policy(shadow.name, shadow.params) for shadow in settings.shadow},
        detectors=[
            (detector.on_drift, make_detector(detector.name, detector.params))
            for detector in settings.detectors
        ],
        window_ms=round(settings.window_s * 1000),
        default_reward=settings.default_reward,
        matures_after_ms=_matures_after_ms(settings),
        combine_parts=settings.combine_parts,
        compares_classes=getattr(reward, "compares_classes", False),
        max_requests_per_s=settings.max_requests_per_s,
        reassign_ms=reassign_ms,
        unit_period_ms=reassign_ms or DAY_MS,
        metrics=metrics,
        prices=prices,
    )


def _matures_after_ms(settings: RouteSettings) -> int | None:
    after_s = settings.matures_after_s
    if settings.default_reward is not None:
        after_s = settings.default_after_s
    elif not settings.delay_correction:
        return None
    return round((settings.window_s if after_s is None else after_s) * 1000)


class RouteTable(Protocol):
    """Routes as the join looks at them."""

    longest_window_ms: int
    get: Callable[[str], Route | None]


def written_route(routes: RouteTable, name: str) -> Route:
    """Return what holds for a route; ``RecordError`` (``unknown_route``) where nothing does."""
    route = routes.get(name)
    if route is None:
        raise RecordError(
            "unknown_route",
            f"route {name!r} has no section [routes.<name>] in the settings, "
            "and there is none for other routes",
        )
    return route


class Routes:
    """All routes, and what holds for a route that the settings do not name.

    Parameters
    ----------
    named : mapping of str to RouteSettings
        Routes by name.
    others : RouteSettings, optional
        For any other route; when left out, such a route is unknown (dead letter).
    authority : Authority, optional
        Who may command; anybody when left out.

    Raises
    ------
    PolicyError
        With everything that is wrong with any of them; see ``streams.routes.faults``.
    """

    def __init__(
        self,
        named: Mapping[str, RouteSettings],
        others: RouteSettings | None,
        authority: Authority | None = None,
    ) -> None:
        self.authority = authority or Authority({})
        written = {**named, **({} if others is None else {"*": others})}
        faults = {name: list(route_faults(settings)) for name, settings in written.items()}
        if found := {name: each for name, each in faults.items() if each}:
            raise PolicyError(told(found))
        self._named = {name: compile_route(settings) for name, settings in named.items()}
        self._others = None if others is None else compile_route(others)
        known = [*self._named.values(), *([self._others] if self._others else [])]
        self.longest_window_ms = max((route.window_ms for route in known), default=0)
        self.get: Callable[[str], Route | None] = (
            self._named.get if self._others is None else self._get_or_others
        )

    def is_named(self, name: str) -> bool:
        """Whether the settings name a route.

        False for those that fall under ``"*"``, or under nothing.
        """
        return name in self._named

    def _get_or_others(self, name: str) -> Route | None:
        return self._named.get(name, self._others)


def compile_routes(
    written: Mapping[str, RouteSettings], actors: Mapping[str, ActorSettings] | None = None
) -> Routes:
    """Build every route's policy, reward function and detectors, as the settings file has them.

    ``actors`` are those whose commands count; anybody's without them.

    Raises ``PolicyError`` where one of them is unknown or has wrong parameters.
    """
    named = {name: route for name, route in written.items() if name != OTHER_ROUTES}
    return Routes(named, written.get(OTHER_ROUTES), Authority(actors or {}))
