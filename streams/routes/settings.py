"""Each route as written in the settings file: reward, window, policy, guard, limits."""

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct, field

from leverframe.streams.routes.delivery import ChangeWindow, HoldoutSettings, RampSettings
from leverframe.streams.routes.metrics import MetricSettings
from leverframe.streams.routes.periods import Period

__all__ = [
    "OTHER_ROUTES",
    "Combine",
    "DetectorSettings",
    "FollowingSettings",
    "GuardSettings",
    "NamedParams",
    "RouteSettings",
]

OTHER_ROUTES: Final = "*"
"""Stands for every route that the settings do not name."""
Combine: TypeAlias = Literal["sum", "last", "max", "mean"]
Share = Annotated[float, Meta(ge=0, le=1)]


class NamedParams(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A policy or reward function by name.

    Attributes
    ----------
    name : str
        As registered.
    params : dict
        Its parameters.
    """

    name: str
    params: dict[str, object] = field(default_factory=dict)


class GuardSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When an arm is rolled back; see ``policies.guard``.

    Attributes
    ----------
    enabled : bool
        False: verdicts are computed and shown, nothing is rolled back.
    alpha : float
        Chance of any false rollback over the life of a route's guard, with unlimited peeking.
    margin : float
        How much worse than the champion is still tolerable, in rewards mapped to [0, 1].
    reward_floor : float, optional
        Least tolerable mean reward, mapped to [0, 1], whatever the other arms do; the champion is
        held to it too.
    floor_margin : float
        How far below ``reward_floor`` is still tolerable; must be less than it.
    no_data_s : float
        An arm that had no label for this long has the verdict ``no_data``, seconds.
    cooldown_s : float
        For how long after a rollback no challenger's share grows and none is promoted, seconds.
    probation_share : float
        Largest share of an arm that is suspected, while its reference gets the labels that convict
        or acquit it: 0.5 is quickest, 0.2 harms fewest; 0: no arm is put on probation.
    """

    enabled: bool = True
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.01
    margin: Share = 0.02
    reward_floor: Annotated[float, Meta(gt=0, lt=1)] | None = None
    floor_margin: Share = 0.0
    no_data_s: Annotated[float, Meta(gt=0)] = 60.0
    cooldown_s: Annotated[float, Meta(ge=0)] = 60.0
    probation_share: Share = 0.5

    def __post_init__(self) -> None:
        """Refuse a floor that its margin makes meaningless."""
        if self.reward_floor is not None and self.floor_margin >= self.reward_floor:
            raise ValueError(f"floor_margin must be less than reward_floor {self.reward_floor}")

    @property
    def level(self) -> float | None:
        """The least mean reward that is not harmful; None without a floor."""
        return None if self.reward_floor is None else self.reward_floor - self.floor_margin


class FollowingSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the job checks that serving systems follow it.

    Attributes
    ----------
    grace_s : float
        An arm without weight that is still served after this raises ``rollback_not_effective``,
        seconds.
    check_mix : bool
        Compare the arms of new predictions with the weights; switch it off where the unit that is
        assigned is a user with several requests and predictions do not name it (``unit_id``): such
        a mix scatters more than a coin's.
    alpha : float
        Chance of any false ``weights_not_followed`` over the life of the route; once more the same
        for all its replicas together, where predictions name theirs.
    """

    grace_s: Annotated[float, Meta(gt=0)] = 5.0
    check_mix: bool = True
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.001


class DetectorSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A drift detector on each arm of a route.

    Attributes
    ----------
    name : {"adwin", "page_hinkley", "kswin"}
        As registered in ``policies.detectors``.
    params : dict
        Its parameters.
    on_drift : {"note", "hold", "rollback"}
        What a drift to the worse does: only a control message that says so, also keep the arm's
        share from growing for ``hold_s``, or take the arm off the line.
    """

    name: str
    params: dict[str, object] = field(default_factory=dict)
    on_drift: Literal["note", "hold", "rollback"] = "note"


class RouteSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One route, as written in the settings file.

    Attributes
    ----------
    window_s : float
        Attribution window from the record time of the first half, seconds.
    reward : NamedParams
        Reward function.
    default_reward : float, optional
        What a request counts whose label did not come in time (clicks: no click is 0), in the
        reward function's unit; a label that comes later in the window revises it. Without it, such
        a request counts nothing.
    default_after_s : float, optional
        When that is, from the prediction's record time, seconds; the end of the window when left
        out.
    delay_correction : bool
        Correct the arms' means for labels that are still coming: policies see every label as many
        times as the share of predictions that have reached its age demands, and the guard looks at
        each request at one age. For rewards whose delay depends on how good they are.
    matures_after_s : float, optional
        With ``delay_correction`` and no default reward: the age at which the guard looks at a
        request, seconds; the end of the window when left out. A label that comes later is seen when
        it comes.
    combine_parts : {"sum", "last", "max", "mean"}, optional
        How the parts of a label (a click, an order) make one; without it, a label with a part is a
        dead letter.
    label_depends_on_answer : bool
        Whether the label would be another had another arm answered: a click depends on what was
        shown, a fraud or a price does not. Only where it does not may a label also judge the arms
        that answered in shadow; their rewards then count in the statistics.
    session_label : {"last", "all", "decayed"}
        Which turns of a session get a label that speaks of the session: the last one before it,
        each of them, or each of them with less for the earlier.
    session_decay : float
        With ``decayed``: what a turn gets of what the turn after it gets.
    shadow_share : float
        Share of the requests that all arms answer, one served and the others in shadow; serving
        systems that compute such answers ask for it (``Subscriber.shadows``). 0: none.
    policy : NamedParams
        Policy, until a ``set_policy`` command changes it.
    ramp : RampSettings
        How an arm's share grows step by step, where that is asked for.
    change_window : ChangeWindow, optional
        When promotions and ramps may move on.
    holdout : HoldoutSettings, optional
        An arm with a lasting share, to measure the others by.
    guard : GuardSettings
        When an arm is rolled back.
    metrics : dict of str to MetricSettings
        What predictions tell of each request beside the answer, by name, and what it is for.
    following : FollowingSettings
        How the job checks that serving systems follow it.
    register_arms : {"first_reward", "command"}
        Whether an unknown arm is registered by its first reward, or is a dead letter.
    nursery_labels : int
        Labels for which a new arm gets ``nursery_share``, whatever the policy says.
    nursery_share : float
        Share of traffic of an arm in the nursery; all such arms together have at most 0.3.
    floor : float
        Least share of every other eligible arm, so that all of them can still be judged; all floors
        together take at most 0.1.
    max_step : float
        Largest change of one arm's share in one decision; a rollback skips it.
    min_publish_change : float
        A decision that moves every arm by less than this is not published.
    promote : bool or "propose"
        Whether a challenger that is better by an anytime-valid test becomes the champion; with
        ``"propose"`` once a person approves, also after a ramp. Rollbacks wait for nobody.
    approval_s : float
        How long a proposal waits for a person before it lapses, and how long an arm that was
        rejected is not proposed again, seconds of stream time.
    decision_interval_ms, decision_labels : int
        A decision is due after this much stream time, or this many labels, whichever is first. Few
        labels beside thousands wait for others, up to ten intervals (200 ms at most): one in a
        hundred, or 64, are enough, and labels that look bad for their arm do not wait.
    bucket_ms : int
        Width of the time buckets that windowed and discounted policies use, milliseconds.
    max_buckets : int
        Buckets with a label that are kept of each arm, the newest; the memory of windowed and
        discounted policies.
    detectors : list of DetectorSettings
        Each arm against its own past.
    hold_s : float
        How long a drifted arm's share may not grow, where a detector says ``hold``, seconds.
    context_dimension : int
        Features in the ``context`` of predictions, for policies on the context; 0: none are kept.
    shadow : list of NamedParams
        Policies that are computed and recorded beside the one applied.
    ttl_s : float
        Validity of a control message; heartbeats come three times as often.
    max_arms : int
        More arms than this are refused (dead letter ``limit``).
    max_requests_per_s : float, optional
        Requests a second of the whole route whose labels count, and ten seconds' worth at once; the
        partitions share it equally. Others are kept as if nobody had seen their answer, counted as
        ``over_quota``, and told, so that one route's flood is not all routes' delay. Whether a
        request counts is decided before its label is known, so means stay what they are.
    max_prior_labels : int
        Labels that a prior, or a score on held-out data with its count, may be worth to policies
        when an arm is registered; larger ones keep their mean. 0: nothing.
    reassign_units : str, optional
        How often units are drawn anew, such as ``"24h"`` (s, m, h, d): the salt changes, and with
        it the arm of many. Guard and mix test count a unit that predictions name once in each such
        period; once in 24 h when left out, where the salt stays.
    """

    window_s: Annotated[float, Meta(gt=0, le=366 * 86400)] = 3600.0
    reward: NamedParams = NamedParams(name="accuracy")
    default_reward: float | None = None
    default_after_s: Annotated[float, Meta(gt=0)] | None = None
    delay_correction: bool = False
    matures_after_s: Annotated[float, Meta(gt=0)] | None = None
    combine_parts: Combine | None = None
    label_depends_on_answer: bool = True
    session_label: Literal["last", "all", "decayed"] = "last"
    session_decay: Share = 0.5
    shadow_share: Share = 0.0
    policy: NamedParams = NamedParams(name="thompson")
    ramp: RampSettings = RampSettings()
    change_window: ChangeWindow | None = None
    holdout: HoldoutSettings | None = None
    guard: GuardSettings = GuardSettings()
    metrics: dict[str, MetricSettings] = field(default_factory=dict)
    following: FollowingSettings = FollowingSettings()
    register_arms: Literal["first_reward", "command"] = "first_reward"
    nursery_labels: Annotated[int, Meta(ge=0)] = 50
    nursery_share: Share = 0.1
    floor: Share = 0.02
    max_step: Annotated[float, Meta(gt=0, le=1)] = 0.2
    min_publish_change: Share = 0.01
    promote: bool | Literal["propose"] = True
    approval_s: Annotated[float, Meta(gt=0)] = 86_400.0
    decision_interval_ms: Annotated[int, Meta(ge=0)] = 20
    decision_labels: Annotated[int, Meta(ge=1)] = 256
    bucket_ms: Annotated[int, Meta(ge=1)] = 10_000
    max_buckets: Annotated[int, Meta(ge=1, le=4096)] = 120
    detectors: list[DetectorSettings] = field(default_factory=list)
    hold_s: Annotated[float, Meta(gt=0)] = 300.0
    context_dimension: Annotated[int, Meta(ge=0, le=32)] = 0
    shadow: list[NamedParams] = field(default_factory=list)
    ttl_s: Annotated[float, Meta(gt=0)] = 15.0
    max_arms: Annotated[int, Meta(ge=1, le=1000)] = 100
    max_requests_per_s: Annotated[float, Meta(gt=0)] | None = None
    max_prior_labels: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    reassign_units: Period | None = None
