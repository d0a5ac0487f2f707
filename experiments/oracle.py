"""What any arrivals must come to: a brute-force recount that shares no code with the product."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Rules(NamedTuple):
    """A route's window, reward function, default reward and when it falls due, and parts."""

    window_ms: int
    reward: Callable[[Any, Any], float]
    default: float | None = None
    default_after_ms: int = 0
    combine: Callable[[list[Any]], Any] | None = None


class Predicted(NamedTuple):
    """A prediction record."""

    at_ms: int
    arm: str
    prediction: Any
    shown: bool = True


class Labelled(NamedTuple):
    """A label record."""

    at_ms: int
    label: Any
    part: str = ""


class Spoken(NamedTuple):
    """A label that names a session: of one of its turns, or, where it names none, of all of it."""

    at_ms: int
    label: Any
    turn: str = ""


class Sharing(NamedTuple):
    """How a route shares labels of sessions: ``last``, ``all`` or ``decayed``."""

    name: str
    decay: float
    window_ms: int


class Counted(NamedTuple):
    """What one request counts in the end, in which arm, and since when."""

    arm: str
    since_ms: int
    reward: float | None


def recount(predictions: Sequence[Predicted], labels: Iterable[Labelled], rules: Rules) -> Counted:
    """Return what one request counts when all is over, from both topics in their own order."""
    first = predictions[0]
    due_ms = first.at_ms + min(rules.default_after_ms, rules.window_ms)
    since_ms, in_force, parts = due_ms, None, dict[str, Any]()
    was_labelled = False
    for label in labels:
        if abs(label.at_ms - first.at_ms) > rules.window_ms:
            continue
        value = label.label
        if rules.combine is not None:
            if parts.get(label.part) != value:
                parts.pop(label.part, None)
                parts |= {} if value is None else {label.part: value}
            value = rules.combine(list(parts.values())) if parts else None
        if value != in_force and not was_labelled:
            was_labelled = True
            if rules.default is None or label.at_ms <= due_ms:
                since_ms = max(first.at_ms, label.at_ms)
        in_force = value
    if not first.shown or not was_labelled:
        return Counted(first.arm, since_ms, rules.default if first.shown else None)
    reward = None if in_force is None else rules.reward(first.prediction, in_force)
    return Counted(first.arm, since_ms, reward)


def labels_of_turns(
    turns: Mapping[str, Predicted], spoken: Iterable[Spoken], rule: Sharing
) -> dict[str, list[Labelled]]:
    """Return the labels that each turn of a session has in the end, by the route's rule.

    ``spoken`` is in the order of its topic, in which times do not fall.
    """
    found: dict[str, list[Labelled]] = {name: [] for name in turns}
    own = dict[str, int]()
    for one in spoken:
        if one.turn:
            own[one.turn] = one.at_ms
            found.setdefault(one.turn, []).append(Labelled(one.at_ms, one.label))
            continue
        before = [name for name in turns if turns[name].shown and turns[name].at_ms <= one.at_ms]
        before.sort(key=lambda name: (turns[name].at_ms, name))
        if rule.name == "last":
            before = before[-1:]
        for at, name in enumerate(before):
            label = one.label
            if rule.name == "decayed" and label is not None:
                label = label * rule.decay ** (len(before) - 1 - at)
            if name not in own or turns[name].at_ms - own[name] > rule.window_ms:
                found[name].append(Labelled(one.at_ms, label))
    return found


def sums(
    counted: Iterable[Counted], weight: Callable[[int], float] = lambda _: 1.0
) -> dict[str, tuple[float, float]]:
    """Return count and sum of rewards by arm, each weighted by the time since when it counts."""
    found: dict[str, tuple[float, float]] = {}
    for arm, since_ms, reward in counted:
        if reward is not None:
            count, total = found.get(arm, (0.0, 0.0))
            found[arm] = count + weight(since_ms), total + weight(since_ms) * reward
    return found
