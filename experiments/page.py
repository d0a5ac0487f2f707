"""The report's page, as Markdown; every sentence about a result is computed from the results."""

import statistics
from collections.abc import Mapping
from typing import Final

from leverframe.experiments.runs import Result
from leverframe.experiments.strategies import CONTROLS
from leverframe.experiments.summary import (
    BANDITS,
    RULES,
    SHADOWED,
    Estimate,
    Group,
    compare,
    estimate,
    metric,
)

__all__ = ["render", "verdict"]

Groups = dict[tuple[str, str], Group]

_HEAD: Final = """\
# Which strategy chooses the model best?

Written by `leverframe experiment run`; do not edit. Figures are means over {seeds} seeds, with half
of the 95 % interval (Student's t). Differences are taken seed by seed. `runs.csv` has every run,
`summary.csv` every mean. {note}
"""

_LIMITS: Final = """\
## How it is made, and its limits

- Each stream is cut into 10 chunks. A model is trained on each chunk (four fifths, drawn by the
  seed) and deployed as a new arm once the chunk's last label has come; every arm stays. Kinds
  alternate: logistic regression, gradient boosting, both with classes weighted equally; the third
  arm is an online logistic regression (river) that learns every label as it comes. So `newest`
  changes the kind of model with each deployment, which a team that deploys one kind would not see.
- Every row is served through the product's own `learn`: records in, weights out, one decision
  every 100 labels, labels 200 rows late. Ten rows are one second of stream time, so the half-life
  of `discounted_thompson` is 3,000 rows and the window of `sliding_window_ucb` 6,000. All policies
  have their default parameters; `ab_test` tests at 200 labels per arm, because a chunk has no more
  to give. Rows that end in `_warm` begin each arm with its held-out score as a prior of 100 labels.
  Those that end in a number have so many percent of the rows answered by all arms, in shadow.
  Policies run bare (no floor, step limit, nursery or guard); the rows that end in
  `_shipped` have all of these at their defaults.
- Models do not depend on the strategy: each is trained on the labels of all rows, whoever answered.
- Seeds draw the training rows, the arms, the sample of the census (20,000 rows of each year, in
  random order inside a year) and the whole synthetic stream. Claims and Elec2 happened only once:
  their intervals say how much depends on chance in training and drawing, not on another history.
- `validation` sees each new arm compared with the incumbent on the new arm's own held-out rows,
  one fifth of a chunk. That is more than a bandit sees: a bandit knows only the label of the
  answer that was given, a held-out row scores every model. Where old rows can be scored by new
  models and the world stands still meanwhile, this is cheap; where the answer changes what happens
  (an offer, a price, a refused claim), held-out rows do not exist.
- Both classes weigh the same in training, so answers are often "yes". On claims and census a model
  that always says "no" is right in 94 % of all rows, more than any strategy here: accuracy is the
  wrong reward for such data, and its rows are there to show what a bandit does when given it.
- Rewards: `accuracy`; `balanced`, a cost matrix with the inverse class frequencies of the first
  chunk; `cost`, a missed fraud as dear as ten false alarms. All are mapped to 0 to 1.
- `best_fixed` and `oracle` know the future: the best one arm (the first model until it is there),
  and the best arm of each segment between deployments. No strategy can be expected to reach them.
- Recovery counts rows from a drift that is known beforehand (census: the change of year; Elec2:
  row 17,500; synthetic: the middle) until good arms have, and keep for 1,000 rows, more than half
  of the traffic. Good is who earns over the next 1,000 rows within a quarter of the spread of the
  best arm deployed. Median of the runs that got there; in brackets how many did. 0: it was on a
  good arm already. Where arms hardly differ (census, balanced) this is mostly noise.
- With so many comparisons at 5 %, about one in twenty "clear" differences is chance, and naming the
  best of twelve afterwards flatters it; so `thompson`, the default, is always shown as well.
- Census-Income (KDD): US Census Bureau, UCI data set 117. Vehicle claims: Oracle's sample data.
  Elec2: M. Harries, J. Gama. The paper (arXiv 2503.22595) could not be read in full; its own
  parameters and figures are not reproduced here.
"""


def render(groups: Groups, pictures: Mapping[tuple[str, str], list[str]], note: str = "") -> str:
    """Return the page."""
    seeds = {result.seed for group in groups.values() for runs in group.values() for result in runs}
    parts = [
        _HEAD.format(seeds=len(seeds), note=note),
        "## Where a bandit wins, and where it does not\n",
    ]
    parts += [_finding(key, group) for key, group in groups.items()]
    parts.append(_matrix(groups))
    for key, group in groups.items():
        parts.append(f"## {_title(key)}\n\n{_table(group)}")
        parts.append("\n".join(f"![{name}]({name})" for name in pictures[key]) + "\n")
    parts.append(_LIMITS)
    return "\n".join(parts)


def verdict(difference: Estimate, other: str) -> str:
    """Return a difference in mean reward in words.

    "better than", "worse than" or "no different from" the other, with the figures.

    Examples
    --------
    >>> verdict(Estimate(mean=0.0123, half=0.002, count=20), "newest")
    'better than `newest` by 0.0123 ± 0.0020'
    """
    if not difference.is_clear:
        return f"no different from `{other}` ({difference.mean:+.4f} ± {difference.half:.4f})"
    word = "better" if difference.mean > 0 else "worse"
    return f"{word} than `{other}` by {abs(difference.mean):.4f} ± {difference.half:.4f}"


def _title(key: tuple[str, str]) -> str:
    return f"{key[0]}, reward: {key[1]}"


def _reward(group: Group, name: str) -> float:
    return estimate(metric(group[name], "reward")).mean


def _finding(key: tuple[str, str], group: Group) -> str:
    """How the bandits do beside the best rule that needs none."""
    rules, bandits = ([n for n in names if n in group] for names in (RULES, BANDITS))
    if not rules or not bandits:
        return f"- **{_title(key)}**: not enough strategies were run to compare.\n"
    rule = max(rules, key=lambda name: _reward(group, name))
    against = {name: compare(group, name, rule) for name in bandits}
    sides = {
        "better": [n for n in bandits if against[n].is_clear and against[n].mean > 0],
        "no different": [n for n in bandits if not against[n].is_clear],
        "worse": [n for n in bandits if against[n].is_clear and against[n].mean < 0],
    }
    ranked = sorted(bandits, key=lambda name: -_reward(group, name))
    text = (
        f"- **{_title(key)}.** Without a bandit `{rule}` is best ({_reward(group, rule):.4f}). "
        f"Of {len(bandits)} bandits {len(sides['better'])} are better, "
        f"{len(sides['no different'])} no different, {len(sides['worse'])} worse.\n"
        f"  Best bandit: `{ranked[0]}`, {verdict(against[ranked[0]], rule)}; "
        f"worst: `{ranked[-1]}`, {verdict(against[ranked[-1]], rule)}.\n"
    )
    if "thompson" in group:
        text += f"  `thompson` is {_beside(group, 'thompson', rules)}.\n"
    best = max(rule, ranked[0], key=lambda name: _reward(group, name))
    return text + "".join(
        f"  With answers in shadow `{name}` is {_beside(group, name, [best])}.\n"
        for name in SHADOWED
        if name in group
    )


def _beside(group: Group, name: str, others: list[str]) -> str:
    return "; ".join(verdict(compare(group, name, other), other) for other in others)


def _matrix(groups: Groups) -> str:
    """Every strategy beside ``newest``, all data sets in one table."""
    usable = {key: group for key, group in groups.items() if "newest" in group}
    if not usable:
        return ""
    names = list(dict.fromkeys(name for group in usable.values() for name in group))
    lines = [
        "### Mean reward beside `newest`, in thousandths",
        "",
        "Bold where the 95 % interval leaves 0 out.",
        "",
        "| strategy | " + " | ".join(f"{data} {reward}" for data, reward in usable) + " |",
        "|---|" + "---:|" * len(usable),
    ]
    for name in names:
        cells = [_thousandths(group, name) for group in usable.values()]
        lines.append(f"| {_label(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _thousandths(group: Group, name: str) -> str:
    if name not in group:
        return "-"
    difference = compare(group, name, "newest")
    text = f"{1000 * difference.mean:+.1f}"
    return f"**{text}**" if difference.is_clear else text


def _label(name: str) -> str:
    return f"*{name}*" if name in CONTROLS else f"`{name}`"


def _table(group: Group) -> str:
    lines = ["| strategy | " + " | ".join(_COLUMNS) + " |", "|---|" + "---:|" * len(_COLUMNS)]
    for name, results in group.items():
        cells = [_plus_minus(results, metric, 4) for metric in _RATIOS]
        cells += [_plus_minus(results, metric, 1) for metric in _TOTALS]
        lines.append(f"| {_label(name)} | " + " | ".join([*cells, _recovery(results)]) + " |")
    return "\n".join(lines) + "\n"


_COLUMNS: Final = (
    "reward",
    "accuracy",
    "F1",
    "balanced accuracy",
    "regret, best fixed",
    "regret, oracle",
    "switches",
    "recovery",
)
_RATIOS: Final = ("reward", "accuracy", "f1", "balanced_accuracy")
_TOTALS: Final = ("regret_fixed", "regret_oracle", "switches")


def _plus_minus(results: list[Result], name: str, digits: int) -> str:
    found = estimate(metric(results, name))
    return f"{found.mean:.{digits}f} ± {found.half:.{digits}f}"


def _recovery(results: list[Result]) -> str:
    rows = metric(results, "recovery")
    if not rows:
        return "-"
    return f"{statistics.median(rows):,.0f} ({len(rows)}/{len(results)})"
