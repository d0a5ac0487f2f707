"""What is known of one arm, as the learning ledger keeps it.

Sums are whole numbers of 1e-9 rewards mapped to [0, 1], so that any order of arrival, any cut into
micro-batches and any revision give exactly the same sums; see docs/adr/0006-integer-statistics.md.
"""

from typing import Literal, TypeAlias

from msgspec import Struct, field

from leverframe.policies.guard.evidence import Evidence, Firsts
from leverframe.policies.guard.suspicion import Suspicion
from leverframe.policies.guard.verdict import Verdict
from leverframe.streams.learning.linear import LinearSums

__all__ = ["ArmPhase", "ArmState"]

ArmPhase: TypeAlias = Literal[
    "shadow", "nursery", "candidate", "champion", "quarantined", "retired"
]


class ArmState(Struct, array_like=True):
    """Everything known of one arm.

    Attributes
    ----------
    registration : int
        1 for the first arm ever registered on the route, 2 for the second, ...
    registered_at_ms : int
        Stream time, ms since the epoch.
    validation_score : float or None
        On held-out data, as given at registration.
    phase : {"shadow", "nursery", "candidate", "champion", "quarantined", "retired"}
        Where it stands; ``streams.learning.rollout`` holds the table of transitions.
    nursery_until : int
        Label count at which the nursery ends.
    count, sum_nano, square_nano, inverse_propensity_micro : int
        Lifetime statistics; sums in 1e-9, that of reward / propensity in 1e-6.
    buckets : dict of int to list of int
        Bucket index (stream time // width) to count, sum and sum of squares.
    evidence : Evidence
        The guard's.
    linear : LinearSums or None
        For policies on the context, where the route keeps it.
    recent : list of int
        Rewards since the last drift in 1e-9, for the route's detectors.
    unwatched : int
        Labels since the detectors looked.
    drifts : int
        Drifts found in the arm's life.
    held_until_ms : int
        Stream time until which its share may not grow, since it drifted.
    first_count, first_sum_nano : int
        Labels as they first came, for the guard: revisions do not touch them. Those of answers in
        shadow are among them, where a label does not depend on the answer.
    last_label_ms : int
        Stream time of the newest label.
    verdict : {"healthy", "harmful", "inconclusive", "no_data"}
        The guard's, at the newest decision.
    delays : dict of int to int
        Labels in force by the bucket of their delay; ``streams.learning.delays``.
    changes : dict of int to list of int
        On routes that correct for delays: changes of count, sum and sum of squares, by the bucket
        of the age that the prediction had then.
    against_micro : int
        Strongest evidence against the arm at the newest decision, 1e-6 nats.
    suspicion : Suspicion
        The guard's, by the arm's own past.
    in_shadow : list of int
        Count and sum (1e-9) of rewards in force for answers that were computed and not given. On
        routes whose labels do not depend on the answer they are part of the other sums too.
    paired : list of int
        Count and sum (1e-9) of those on requests that others answered too: the guard compares them
        in pairs, and no second time.
    validation_count : int or None
        Rows of the held-out data, as given at registration.
    prior : list of int
        Successes and failures (1e-9) from before its first label, for policies alone: part of no
        other sum, and no evidence.
    slack_nano : int
        By how much labels may still miss the full reward, together, 1e-9, before it could be
        suspected; below 0 a decision is urgent.
    """

    registration: int
    registered_at_ms: int
    validation_score: float | None
    phase: ArmPhase
    nursery_until: int
    count: int = 0
    sum_nano: int = 0
    square_nano: int = 0
    inverse_propensity_micro: int = 0
    buckets: dict[int, list[int]] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)
    linear: LinearSums | None = None
    recent: list[int] = field(default_factory=list)
    unwatched: int = 0
    drifts: int = 0
    held_until_ms: int = 0
    first_count: int = 0
    first_sum_nano: int = 0
    last_label_ms: int = 0
    verdict: Verdict = "no_data"
    delays: dict[int, int] = field(default_factory=dict)
    changes: dict[int, list[int]] = field(default_factory=dict)
    against_micro: int = 0
    suspicion: Suspicion = field(default_factory=Suspicion)
    in_shadow: list[int] = field(default_factory=lambda: [0, 0])
    paired: list[int] = field(default_factory=lambda: [0, 0])
    validation_count: int | None = None
    prior: list[int] = field(default_factory=lambda: [0, 0])
    slack_nano: int = 0

    @property
    def firsts(self) -> Firsts:
        """Count and sum (1e-9 rewards) of labels as they first came."""
        return self.first_count, self.first_sum_nano

    @property
    def alone(self) -> Firsts:
        """The same of requests that no other arm answered."""
        return self.first_count - self.paired[0], self.first_sum_nano - self.paired[1]

    @property
    def is_judged(self) -> bool:
        """Whether the guard looks at the arm: it may receive traffic, or answers in shadow."""
        return self.is_eligible or self.phase == "shadow"

    @property
    def is_eligible(self) -> bool:
        """Whether the arm may receive traffic."""
        return self.phase in {"nursery", "candidate", "champion"}
