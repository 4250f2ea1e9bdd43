"""Whether levels of a factor differ: rank tests for the DSC, exact or chi-squared tests for detection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from scipy import stats

from lib.evaluation.figures import SubgroupTest

_T = TypeVar("_T", float, bool)
FEWEST = 3  # patients of a level that takes part in a test
_TWO = 2
_EXPECTED = 5  # below this in any cell, chi-squared is a rough approximation


def compare_dice(values: Mapping[str, Sequence[float]]) -> SubgroupTest:
    """Mann-Whitney's test between two levels, Kruskal and Wallis's between more."""
    kept, note = _large_enough(values)
    numbers = [one for some in kept.values() for one in some]
    if len(kept) < _TWO or len(set(numbers)) < _TWO:
        why = "all values are equal" if len(kept) >= _TWO else note or "fewer than two levels"
        return SubgroupTest(outcome="dice", test="", n=len(numbers), levels=len(kept), note=why)
    if len(kept) == _TWO:
        name, result = "Mann-Whitney", stats.mannwhitneyu(*kept.values(), alternative="two-sided")
    else:
        name, result = "Kruskal-Wallis", stats.kruskal(*kept.values())
    return SubgroupTest(
        outcome="dice",
        test=name,
        n=len(numbers),
        levels=len(kept),
        statistic=float(result.statistic),
        p=float(result.pvalue),
        note=note,
    )


def compare_detection(found: Mapping[str, Sequence[bool]]) -> SubgroupTest:
    """Fisher's exact test between two levels, chi-squared between more."""
    kept, note = _large_enough(found)
    table = np.array([[sum(some), len(some) - sum(some)] for some in kept.values()]).reshape(-1, 2)
    total = int(table.sum())
    if len(kept) < _TWO or not table.sum(axis=0).all():
        why = "every patient was found, or none" if len(kept) >= _TWO else note or "fewer than two levels"
        return SubgroupTest(outcome="detection", test="", n=total, levels=len(kept), note=why)
    if len(kept) == _TWO:
        exact = stats.fisher_exact(table)
        name, statistic, p = "Fisher", float(exact.statistic), float(exact.pvalue)
    else:
        squared = stats.chi2_contingency(table, correction=False)
        name, statistic, p = "chi-squared", float(squared.statistic), float(squared.pvalue)
        if (squared.expected_freq < _EXPECTED).any():
            note = "; ".join(filter(None, (note, f"expected counts under {_EXPECTED}: p is approximate")))
    return SubgroupTest(
        outcome="detection",
        test=name,
        n=total,
        levels=len(kept),
        statistic=statistic if np.isfinite(statistic) else None,
        p=p,
        note=note,
    )


def _large_enough(values: Mapping[str, Sequence[_T]]) -> tuple[dict[str, Sequence[_T]], str]:
    """Levels with enough patients, and which were left out."""
    kept = {level: some for level, some in values.items() if len(some) >= FEWEST}
    left = [level for level, some in values.items() if 0 < len(some) < FEWEST]
    return kept, f"left out, fewer than {FEWEST} patients: {', '.join(left)}" if left else ""
