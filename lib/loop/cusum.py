"""Has a figure that comes in one by one changed? A CUSUM of sequential ranks: any figure gives the same false alarms.

Each value is ranked among those before it since the last alarm. As long as nothing changes, that rank is uniform and
independent of the earlier ones, whatever the distribution of the values: Dice and drift scores, which are far from
normal, give the same false alarms as any other figure. The ranks as normal deviates go into a one-sided CUSUM. After
an alarm it starts again: what follows is compared with what follows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

Direction = Literal["falls", "rises"]
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRule:
    """When a change is flagged; docs/monitoring.md says how often that is a false alarm.

    Attributes:
        settle: Values that are only learned from, at the start and after an alarm.
        slack: Standard deviations that a value may be off without adding to the sum.
        limit: Sum at which a change is flagged.
    """

    settle: int = 20
    slack: float = 0.5
    limit: float = 5.0


DEFAULT_RULE = ChangeRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure's course.

    Attributes:
        sums: One for each value.
        alarms: Indices of the values at which a change was flagged.
        began: For each alarm, the index of the first value after its sum was last zero: about where the change began.
    """

    sums: tuple[float, ...]
    alarms: tuple[int, ...]
    began: tuple[int, ...]


def chart(values: Sequence[float], direction: Direction = "falls", rule: ChangeRule = DEFAULT_RULE) -> Chart:
    """Follow a figure.

    Args:
        values: In the order in which they came; finite.
        direction: Which change is bad.
        rule: When it is flagged.
    """
    sign = -1.0 if direction == "falls" else 1.0
    earlier: list[float] = []
    sums, alarms, began = [], [], []
    total, start = 0.0, 0
    for index, value in enumerate(values):
        score = _score(earlier, value)
        insort(earlier, value)
        if len(earlier) > rule.settle:
            if total == 0:
                start = index
            total = max(0.0, total + sign * score - rule.slack)
        sums.append(total)
        if total > rule.limit:
            alarms.append(index)
            began.append(start)
            earlier, total = [], 0.0
    return Chart(sums=tuple(sums), alarms=tuple(alarms), began=tuple(began))


def _score(earlier: Sequence[float], value: float) -> float:
    """Normal deviate of a value's rank among the earlier ones and itself; equal values share the middle rank."""
    below, upto = bisect_left(earlier, value), bisect_right(earlier, value)
    middle = (below + upto) / 2 + 0.5
    return _NORMAL.inv_cdf(middle / (len(earlier) + 1))
