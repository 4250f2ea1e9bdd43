"""Bounds of a mean difference over patients."""

import math

import numpy as np
import pytest
from scipy import stats

from lib.registry.paired import Interval, mean_bounds


def bounds(differences: list[float], confidence: float = 0.95) -> Interval:
    return mean_bounds(differences, confidence=confidence, resamples=4000, seed=0)


@pytest.mark.parametrize("count", [10, 40])
def test_bounds_of_normal_differences_are_those_of_students_t(count: int) -> None:
    drawn = stats.norm.ppf((np.arange(count) + 0.5) / count)
    drawn = drawn / drawn.std(ddof=1) * 0.15 + 0.02
    half = stats.t.ppf(0.95, count - 1) * 0.15 / math.sqrt(count)
    found = bounds(drawn.tolist())
    assert found.lower == pytest.approx(0.02 - half, abs=0.006)
    assert found.upper == pytest.approx(0.02 + half, abs=0.006)


def test_a_long_tail_of_losses_lowers_the_lower_bound_more_than_it_raises_the_upper() -> None:
    differences = (-0.1 * stats.expon.ppf((np.arange(40) + 0.5) / 40)).tolist()
    mean, found = float(np.mean(differences)), bounds(differences)
    assert mean - found.lower > 1.1 * (found.upper - mean)


def test_more_confidence_means_a_lower_bound() -> None:
    differences = np.linspace(-0.2, 0.3, 30).tolist()
    assert bounds(differences, 0.99).lower < bounds(differences, 0.9).lower


def test_the_same_patients_give_the_same_bounds() -> None:
    differences = np.linspace(-0.2, 0.3, 30).tolist()
    assert bounds(differences) == bounds(differences)


@pytest.mark.parametrize("differences", [[], [0.4]])
def test_fewer_than_two_patients_bound_nothing(differences: list[float]) -> None:
    assert bounds(differences) == Interval(lower=-math.inf, upper=math.inf)


def test_no_difference_at_all_has_bounds_of_exactly_zero() -> None:
    assert bounds([0.0] * 7) == Interval(lower=0.0, upper=0.0)
